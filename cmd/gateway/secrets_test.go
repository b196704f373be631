package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/cmd/gateway/commandline"
)

// secretive are words by which a flag says that it takes a secret. What is on a command line is in the list of processes,
// for every user of the machine, and in the shell's history.
var secretive = regexp.MustCompile(`(?i)secret|passw|passphrase|credential|token|private|pem\b|\bkey\b|api.?key|\bauth\b|\burl\b|://`)

// harmless are the flags and arguments that talk of secrets and take none, with what they take.
var harmless = map[string]string{
	"token --ttl":              "a duration",
	"token --key":              "a file's name",
	"token --algorithm":        "an algorithm's name",
	"bench url":                "an address",
	"doctor --url":             "an address; one with a password in it is refused",
	"doctor --key":             "a file's name",
	"bench --clients":          "a number",
	"bench --key":              "a file's name",
	"bench --algorithm":        "an algorithm's name",
	"smoke url":                "an address",
	"smoke --token-file":       "a file's name",
	"smoke --key":              "a file's name",
	"smoke --algorithm":        "an algorithm's name",
	"revoke --jti":             "a token's id, by which nobody comes in",
	"revoke --expires":         "a time",
	"revoke --user":            "an id",
	"publish --event-id":       "the publisher's name for an event",
	"admin --url":              "an address; one with a password in it is refused",
	"trace --url":              "an address; one with a password in it is refused",
	"admin publish --event-id": "the publisher's name for an event",
	"admin revoke --before":    "a time",
	"admin revoke --user":      "an id",
	"admin revoke --exp":       "a time",
	"admin revoke --jti":       "a token's id, by which nobody comes in",
}

// suspects are the flags and arguments of all commands that talk of secrets.
func suspects(t *testing.T, commands any) map[string]*commandline.Option {
	t.Helper()
	root, err := commandline.New("", "", commands)
	require.NoError(t, err)
	found := map[string]*commandline.Option{}
	look := func(path, name string, o *commandline.Option) {
		if secretive.MatchString(name + " " + o.Help + " " + o.Placeholder) {
			found[strings.TrimSpace(path+" "+name)] = o
		}
	}
	var walk func(c *commandline.Command)
	walk = func(c *commandline.Command) {
		path := strings.TrimSpace(c.Path())
		for _, f := range c.Flags {
			look(path, "--"+f.Name, f)
		}
		for _, a := range c.Arguments {
			look(path, a.Name, a)
		}
		for _, child := range c.Commands {
			walk(child)
		}
	}
	walk(root)
	return found
}

func TestNoSecretIsTakenFromTheCommandLine(t *testing.T) {
	found := suspects(t, &cli{})
	for name, v := range found {
		require.Contains(t, harmless, name, "it talks of a secret: %s", v.Help)
		if harmless[name] == "a file's name" {
			require.True(t, v.Path, name)
		}
	}
	for name := range harmless {
		require.Contains(t, found, name, "it is gone, or talks of no secret any more")
	}
	// No flag stands for a variable that holds a secret.
	for _, v := range variables {
		if v.Secret {
			flag := "--" + strings.ReplaceAll(strings.ToLower(v.Name), "_", "-")
			for name := range found {
				require.NotContains(t, name, flag)
			}
		}
	}

	require.Len(t, suspects(t, &struct {
		A struct {
			Password string `help:"What lets you in."`
			Other    string `help:"The secret by which tokens are signed."`
			Fine     string `help:"How many."`
		} `cmd:""`
	}{}), 2, "those would be found")
}
