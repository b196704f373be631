package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/cmd/gateway/commandline"
)

var (
	// quotedLine is a command line in backquotes, perhaps across a line's end; shownLine is one in a block of code.
	quotedLine = regexp.MustCompile("`gateway ([^`]+)`")
	shownLine  = regexp.MustCompile(`(?m)^(?:\$ )?gateway ([a-z].*)$`)
	// word is a word of a shell, or a quoted one.
	word = regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s'"]+`)
)

// What the pages tell people to type is understood.
func TestCommandLinesOfThePages(t *testing.T) {
	pages := []string{"../../README.md", "../../SECURITY.md", "../../charts/gateway/README.md", "../../deploy/redis/README.md", "../../deploy/coreapi/README.md"}
	more, err := filepath.Glob("../../deploy/*.md")
	require.NoError(t, err)
	seen := 0
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, shape := range []*regexp.Regexp{quotedLine, shownLine} {
			for _, found := range shape.FindAllStringSubmatch(string(text), -1) {
				seen++
				understood(t, page, found[1])
			}
		}
	}
	require.Greater(t, seen, 30)
}

// understood parses a line up to a comment, a pipe or what else is the shell's. That a page leaves out what is required is
// no mistake of it: it names the command.
func understood(t *testing.T, page, text string) {
	t.Helper()
	var args []string
	for _, w := range word.FindAllString(text, -1) {
		if strings.ContainsAny(w[:1], "#|>&;") {
			break
		}
		args = append(args, strings.Trim(w, `'"`))
	}
	line, err := commandline.New("gateway", "", &cli{})
	require.NoError(t, err)
	_, err = line.Parse(args)
	if err != nil && !errors.Is(err, commandline.ErrHelp) {
		for _, left := range []string{"missing flags", "expected \"<", "expected one of", "expected a value"} {
			if strings.HasPrefix(err.Error(), left) || left == "expected a value" && strings.HasSuffix(err.Error(), left) {
				return
			}
		}
		require.NoError(t, err, "%s: gateway %s", page, text)
	}
}

func TestEachCommandHasAWayToRun(t *testing.T) {
	root, err := commandline.New("gateway", "", &cli{})
	require.NoError(t, err)
	var walk func(c *commandline.Command)
	walk = func(c *commandline.Command) {
		for _, child := range c.Commands {
			walk(child)
		}
		if len(c.Commands) > 0 {
			return
		}
		switch c.Target.(type) {
		case interface{ Run(a *app) error }, interface {
			Run(ctx context.Context, a *app) error
		}, interface {
			Run(ctx context.Context, a *app, parent *adminCmd) error
		}:
		default:
			t.Errorf("%s: %T has no way to run", c.Path(), c.Target)
		}
	}
	walk(root)
}
