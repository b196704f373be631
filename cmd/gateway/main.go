// Command gateway is the realtime gateway: it reads the configuration, builds a node of the parts in the other packages
// and runs it, and holds the small tools around it. It owns the process (environment, signals, exit code, standard
// streams); it never routes, stores or sends an event itself.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"

	"github.com/teloo/realtime-gateway/cmd/gateway/commandline"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1 // the command failed, or the configuration has faults
	exitUsage   = 2 // the command line was not understood
	// And 128 with the number of the signal that came after one had asked for an orderly end: see exitSignalled.
)

// cli is the command line.
type cli struct {
	EnvFile string `default:".env" help:"File of variables for those that the environment does not set; missing is fine." name:"env-file" placeholder:"FILE"`

	Serve    serveCmd    `cmd:"" help:"Run a node of the cluster."`
	Dev      devCmd      `cmd:"" help:"Run a demonstration on this machine: no Redis, no configuration."`
	Token    tokenCmd    `cmd:"" help:"Sign a token for a client."`
	Revoke   revokeCmd   `cmd:"" help:"Revoke a token, or all that a user had."`
	Grant    grantCmd    `cmd:"" help:"Let a user into a solicitud's room."`
	Withdraw withdrawCmd `cmd:"" help:"Withdraw a user's grant for a solicitud's room."`
	Admin    adminCmd    `cmd:"" help:"Have a running cluster list or close a user's sockets, revoke, grant, publish or drain."`
	Publish  publishCmd  `cmd:"" help:"Write events to the event stream, as the Core API does."`
	Flow     flowCmd     `cmd:"" help:"Write made-up events to the event stream, for a demonstration."`
	Dead     deadCmd     `cmd:"" help:"List, show, replay or drop dead letters: events that could not be relayed."`
	Doctor   doctorCmd   `cmd:"" help:"Examine Redis, the nodes and the way in, and say what to do."`
	Bench    benchCmd    `cmd:"" help:"Load a running cluster with clients and events, and show latency and losses."`
	Health   healthCmd   `cmd:"" help:"Ask the node on this machine whether it is well."`
	Smoke    smokeCmd    `cmd:"" help:"Connect to a running cluster, publish an event and wait for it."`
	Config   configCmd   `cmd:"" help:"Show the configuration in effect, and every fault of it."`
	Explain  explainCmd  `cmd:"" help:"Show which rooms an event goes to, or the routing table."`
	Schemas  schemasCmd  `cmd:"" help:"Write the JSON Schemas of all events, or show those of the Core API's events as one."`
	Trace    traceCmd    `cmd:"" help:"Show what became of an event: whom it was for, and whom it reached."`
	Version  versionCmd  `cmd:"" help:"Show the version."`
}

// app is what a command may use of the process. Tests give their own.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// environ is the environment as NAME=value, envFile the .env file's path.
	environ []string
	envFile string
	// level is that of the logger, once there is one.
	level *logLevel
}

func main() {
	redis.SetLogger(silent{})
	ctx, stop := stopSignals(os.Exit)
	// For the log's level. They would end a process that starts or stops, and so does not listen to them.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1, syscall.SIGUSR2)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ()}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run parses args, runs the command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	var c cli
	line, err := commandline.New("gateway", "TeLOO realtime gateway: the marketplace's events to its browsers.", &c)
	if err != nil {
		a.complain(err)
		return exitFailure
	}
	chosen, err := line.Parse(args)
	switch {
	case errors.Is(err, commandline.ErrHelp):
		err = chosen.WriteHelp(a.stdout)
	case err != nil:
		a.complain(err)
		a.say("`gateway --help` shows the commands")
		return exitUsage
	default:
		a.envFile = c.EnvFile
		err = a.do(ctx, chosen.Target, &c)
	}
	if err != nil {
		a.complain(err)
		return exitFailure
	}
	return exitOK
}

// do runs a command, with what its Run asks for.
func (a *app) do(ctx context.Context, command any, c *cli) error {
	switch command := command.(type) {
	case interface{ Run(a *app) error }:
		return command.Run(a)
	case interface {
		Run(ctx context.Context, a *app) error
	}:
		return command.Run(ctx, a)
	case interface {
		Run(ctx context.Context, a *app, parent *adminCmd) error
	}:
		return command.Run(ctx, a, &c.Admin)
	default:
		return fmt.Errorf("%T has no way to run", command)
	}
}

// complain writes each line of an error with the program's name before it.
func (a *app) complain(err error) {
	if errors.Is(err, errReported) {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		a.say(line)
	}
}

// say tells the user something on stderr. That this can fail is nothing that could be told to anybody.
func (a *app) say(line string) { _, _ = fmt.Fprintln(a.stderr, "gateway: "+line) }

func (a *app) warn(warnings ...string) {
	for _, w := range warnings {
		a.say("warning: " + w)
	}
}

// errReported is the failure of a command that has told the user already.
var errReported = errors.New("reported")

// config reads the configuration. Its error is a ConfigError with those of the variables that begin with one of the given
// prefixes (none: of all), so that a tool which needs only Redis does not ask for a JWT key. Warnings go to stderr.
func (a *app) config(prefixes ...string) (Config, error) {
	r := readConfig(a.environ, a.envFile)
	a.warn(r.Warnings...)
	if faults := r.Faults.of(prefixes); len(faults) > 0 {
		return Config{}, faults
	}
	return r.Config, nil
}
