// Package commandline reads a command line into a program's structs, as the tags of their fields say, and writes the
// help. It owns the syntax (pflag's: --flag=value, --flag value, -y, --), the checks that tags ask for, and what a
// mistake is called; it never runs a command, reads a variable or ends the process.
//
// A field of a struct is one of these:
//
//	cmd:""      a command, itself a struct; it has a name, help and either flags and arguments or commands of its own
//	embed:""    a struct whose fields count as those of the struct around it
//	arg:""      an argument by position, required unless optional:""; a []string takes all that are left
//	otherwise   a flag, which may stand before or after the arguments and the names of commands below it
//
// Tags of flags and arguments: help, name (the field's in lower case with hyphens, if not set), default, placeholder, enum
// (values, comma-separated), required:"", short (a letter), hidden:"", type:"path" (~ and relative paths are made absolute),
// xor (flags with the same word exclude each other; if they are required, one of them is).
//
// No method is looked for by a name that only the running program knows: for a program that does, the linker has to keep
// every exported method of every type.
package commandline

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// ErrHelp is that the user asked for help.
var ErrHelp = errors.New("help is asked for")

// Command is a program or one of its commands. It is for one goroutine.
type Command struct {
	Name, About string
	// Target points to the struct that Parse fills. If it has a method Help() string, that is shown below the flags; an empty
	// line begins a paragraph.
	Target any
	// Commands are empty for a command that can be run. Hidden flags are among the Flags, the parents' are not.
	Commands         []*Command
	Flags, Arguments []*Option

	parent *Command
	set    *pflag.FlagSet
}

// New reads the tags of the struct that target points to. Its error is a mistake in those.
func New(name, about string, target any) (*Command, error) {
	help := &Option{Name: "help", Short: "h", Help: "Show context-sensitive help.", value: new(bool)}
	root := &Command{Name: name, About: about, Target: target, Flags: []*Option{help}}
	if err := root.build(); err != nil {
		return nil, fmt.Errorf("command line: %w", err)
	}
	return root, nil
}

// Parse fills the structs and returns the command that was chosen, with ErrHelp if that is to show its help. Each Command
// parses once.
func (c *Command) Parse(args []string) (*Command, error) {
	if err := c.valueless(args); err != nil {
		return c, err
	}
	if err := c.set.Parse(args); err != nil {
		return c, mistake(err)
	}
	rest := c.set.Args()
	if len(c.Commands) > 0 && len(rest) > 0 {
		for _, child := range c.Commands {
			if child.Name == rest[0] {
				return child.Parse(rest[1:])
			}
		}
		return c, fmt.Errorf("unexpected argument %s, expected one of %s", rest[0], c.names())
	}
	if help := c.set.Lookup("help"); help.Changed {
		return c, ErrHelp
	}
	if len(c.Commands) > 0 {
		return c, fmt.Errorf("expected one of %s", c.names())
	}
	if err := c.take(rest); err != nil {
		return c, err
	}
	return c, c.check()
}

// valueless finds a flag without its value, for which the flag after it would be taken.
func (c *Command) valueless(args []string) error {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if !strings.HasPrefix(args[i], "-") {
			if len(c.Commands) > 0 {
				return nil
			}
			continue
		}
		f := c.set.Lookup(strings.TrimPrefix(args[i], "--"))
		if f == nil || f.NoOptDefVal != "" {
			continue
		}
		if i++; i < len(args) && len(args[i]) > 1 && args[i][0] == '-' {
			return fmt.Errorf("--%s: expected a value but got %q; --%[1]s=%s, if that is the value", f.Name, args[i], args[i])
		}
	}
	return nil
}

// take gives the arguments their values.
func (c *Command) take(args []string) error {
	for i, a := range c.Arguments {
		if list, ok := a.value.(*[]string); ok {
			*list = append(*list, args...)
			return nil
		}
		if len(args) == 0 {
			if a.Required {
				return fmt.Errorf("expected %q", synopsis(c.Arguments[i:]))
			}
			return nil
		}
		if err := a.Set(args[0]); err != nil {
			return fmt.Errorf("<%s>: %w", a.Name, err)
		}
		args = args[1:]
	}
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %s", args[0])
	}
	return nil
}

// check looks for flags that are missing or exclude each other.
func (c *Command) check() error {
	var missing []string
	groups := map[string][]*Option{}
	for _, o := range c.Flags {
		switch {
		case o.xor != "":
			groups[o.xor] = append(groups[o.xor], o)
		case o.Required && !o.given:
			missing = append(missing, o.usage())
		}
	}
	for _, group := range groups {
		var given, choices []string
		for _, o := range group {
			choices = append(choices, o.usage())
			if o.given {
				given = append(given, "--"+o.Name)
			}
		}
		switch {
		case len(given) > 1:
			return fmt.Errorf("%s can't be used together", strings.Join(given, " and "))
		case len(given) == 0 && group[0].Required:
			missing = append(missing, strings.Join(choices, " or "))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("missing flags: %s", strings.Join(missing, ", "))
	}
	return nil
}

// names are the commands', for an error.
func (c *Command) names() string {
	names := make([]string, 0, len(c.Commands))
	for _, child := range c.Commands {
		names = append(names, child.Name)
	}
	return strings.Join(names, ", ")
}

// mistake is pflag's error in this package's words.
func mistake(err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() != "":
		return fmt.Errorf("unknown flag -%s", unknown.GetSpecifiedName())
	case errors.As(err, &unknown):
		return fmt.Errorf("unknown flag --%s", unknown.GetSpecifiedName())
	case errors.As(err, &missing):
		return fmt.Errorf("--%s: expected a value", missing.GetFlag().Name)
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s: %w", invalid.GetFlag().Name, invalid.Unwrap())
	default:
		return err
	}
}
