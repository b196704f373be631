package node

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
)

// The tests here are of what the Socket.IO library leaves to its user.

// stuck is a Verifier that answers no sooner than it has to.
type stuck struct{}

func (stuck) Verify(ctx context.Context, _ string) (auth.Identity, error) {
	<-ctx.Done()
	return auth.Identity{}, ctx.Err()
}

// A middleware that never answers keeps a socket's goroutine and memory for ever.
func TestAConnectThatCannotBeDecidedIsAnswered(t *testing.T) {
	for name, change := range map[string]func(*Deps){
		"keys":   func(d *Deps) { d.Verifier = stuck{} },
		"budget": func(d *Deps) { d.Budget = budget{turn: make(chan struct{})} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config, d *Deps) {
				c.AdmitTimeout = 50 * time.Millisecond
				change(d)
			})
			require.True(t, strings.HasPrefix(r.dial(`{"token":"client:c"}`, nil).next(), `4{`), "a connect_error")
			r.eventually("the seat is free", func() bool { return r.seats.Load() == 0 })
		})
	}
}

// countingAdapters counts the namespaces for which there is one.
type countingAdapters struct {
	socket.AdapterBuilder

	made atomic.Int64
}

func (a *countingAdapters) New(nsp socket.Namespace) socket.Adapter {
	a.made.Add(1)
	return a.AdapterBuilder.New(nsp)
}

// The library makes a namespace for whoever names one, if it is let; two at once for those who name it at the same time.
func TestConnectsToOtherNamespacesMakeNone(t *testing.T) {
	adapters := &countingAdapters{}
	r := newRig(t, func(c *Config, d *Deps) {
		d.Adapter = adapters
		c.ConnectTimeout, c.AdmitTimeout = 2*time.Second, time.Second
	})
	was := adapters.made.Load()
	c := r.dial("", nil)
	require.Contains(t, c.next(), `"code":"token_missing"`)
	for i := range 50 {
		nsp := "/x" + strconv.Itoa(i%20)
		c.send("40" + nsp + `,{"token":"client:c"}`)
		require.Equal(t, "4"+nsp+`,{"message":"Invalid namespace"}`, c.next())
	}
	require.Empty(t, c.next(), "who asks for others only is sent away after ConnectTimeout")
	require.Equal(t, was, adapters.made.Load())
	require.Zero(t, r.Stats().Connections)
}

// An event before its CONNECT, and what only servers send, end the connection and nothing else.
func TestPacketsOutOfTurnEndTheConnection(t *testing.T) {
	r := newRig(t, nil)
	good, _ := r.connect("client:good")
	for _, packet := range []string{
		`42["ping"]`, `421["ping"]`, `431[]`, `44{"message":"x"}`, `42/other,["ping"]`,
	} {
		c := r.dial("", nil)
		require.Contains(t, c.next(), `"code":"token_missing"`)
		c.send(packet)
		require.Empty(t, c.next(), packet)
	}
	c, _ := r.connect("client:c")
	c.send(`44{"message":"x"}`)
	require.Empty(t, c.next())
	require.Contains(t, good.event(`421["ping"]`, "31"), "timestamp")
	r.eventually("only that one is left", func() bool { return r.Stats().Connections == 1 })
}

// shared are methods of the library's that change what all users of a socket or namespace share, cannot be relied on, or
// say nothing of their failure: flags of a socket, listeners found by their code, namespaces made when named, broadcasts.
var shared = map[string]bool{
	"Volatile": true, "Compress": true, "Local": true, "RemoveListener": true, "RemoveAllListeners": true, "Off": true,
	"Of": true, "To": true, "In": true, "Except": true,
}

// calls lists the calls of shared methods in a file.
func calls(t *testing.T, name string, source any) []string {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, 0)
	require.NoError(t, err)
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if method, ok := call.Fun.(*ast.SelectorExpr); ok && shared[method.Sel.Name] && !isPackage(file, method.X) {
				found = append(found, files.Position(method.Sel.Pos()).String()+" "+method.Sel.Name)
			}
		}
		return true
	})
	return found
}

// isPackage says whether x is a package's name, as in filepath.Local.
func isPackage(file *ast.File, x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	if !ok {
		return false
	}
	for _, imported := range file.Imports {
		path, _ := strconv.Unquote(imported.Path.Value)
		if imported.Name == nil && filepath.Base(path) == id.Name {
			return true
		}
	}
	return false
}

func TestNobodyUsesWhatTheLibraryShares(t *testing.T) {
	require.Len(t, calls(t, "x.go", `package x
		import "time"
		func f(s *socket.Socket, t time.Time) { s.Volatile().Emit("x"); s.Nsp().Of("/x", nil); t.Local(); io.To("r").Emit("x") }`), 4)
	read := 0
	for _, dir := range []string{".", "../adapter", "../cmd", "../api"} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			read++
			require.Empty(t, calls(t, path, nil))
			return nil
		}))
	}
	require.Greater(t, read, 100, "files were read")
}
