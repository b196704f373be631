package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const vocabularyHead = `# Log messages

Every message of the gateway, as operators may rely on it: none is put together at run time, what varies is in the
attributes. An attribute list that ends in "…" has more that depend on the case. Errors are in ` + "`err`" + `. Each line
also has ` + "`time`, `level`, `node` and `component`" + `. Made by ` + "`go test ./cmd/gateway -update`" + `.

| package | level | message | attributes |
|---|---|---|---|
`

// spoken is one place where something is logged.
type spoken struct{ pkg, level, message, attributes string }

var logLevels = map[string]string{"Debug": "debug", "Info": "info", "Warn": "warn", "Error": "error", "warnf": "warn", "Log": "varies"}

// TestLogVocabulary holds deploy/LOGS.md to what is logged, messages to being constant, and each package that logs to
// naming its component.
func TestLogVocabulary(t *testing.T) {
	var all []spoken
	named := map[string]bool{} // packages that give their logger a component
	for _, dir := range []string{"adapter", "api", "cmd", "node", "presence", "streams"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			pkg, _ := filepath.Rel(filepath.Join("..", ".."), filepath.Dir(path))
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					if s, ok := spokenIn(t, path, call); ok {
						s.pkg = filepath.ToSlash(pkg)
						all = append(all, s)
					}
					if namesComponent(call) {
						named[filepath.ToSlash(pkg)] = true
					}
				}
				return true
			})
			return nil
		})
		require.NoError(t, err)
	}
	for _, s := range all {
		require.True(t, named[s.pkg], "%s logs %q with no component", s.pkg, s.message)
	}
	slices.SortFunc(all, func(a, b spoken) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.message, b.message), cmp.Compare(a.level, b.level), cmp.Compare(a.attributes, b.attributes))
	})
	var table strings.Builder
	table.WriteString(vocabularyHead)
	for _, s := range slices.Compact(all) {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", s.pkg, s.level, strings.ReplaceAll(s.message, "|", `\|`), s.attributes)
	}
	require.Greater(t, len(all), 50, "the search finds what there is")
	golden(t, filepath.Join("..", "..", "..", "deploy", "LOGS.md"), table.String())
}

// spokenIn looks at a call of a logger: one whose name ends in log, or a method of ours that warns seldom.
func spokenIn(t *testing.T, path string, call *ast.CallExpr) (spoken, bool) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return spoken{}, false
	}
	name, inContext := strings.CutSuffix(method.Sel.Name, "Context")
	if logLevels[name] == "" {
		return spoken{}, false
	}
	args := call.Args
	if method.Sel.Name == "warnf" && len(args) > 1 {
		args = args[1:] // behind the kind
	} else if !strings.HasSuffix(strings.ToLower(lastName(method.X)), "log") {
		return spoken{}, false
	}
	switch {
	case name == "Log" && len(args) > 2:
		args = args[2:] // behind the context and the level
	case inContext && len(args) > 1:
		args = args[1:]
	}
	if len(args) == 0 {
		return spoken{}, false
	}
	message, ok := literal(args[0])
	if !ok {
		if _, passed := args[0].(*ast.Ident); !passed {
			t.Errorf("%s: a log message is put together at run time", path)
		}
		return spoken{}, false // handed on as it is, by a method whose callers are looked at
	}
	return spoken{level: logLevels[name], message: message, attributes: attributesOf(t, path, args[1:], call)}, true
}

// namesComponent looks for x.With("component", "name", …).
func namesComponent(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || method.Sel.Name != "With" || len(call.Args) < 2 {
		return false
	}
	key, _ := literal(call.Args[0])
	name, _ := literal(call.Args[1])
	return key == "component" && name != ""
}

func attributesOf(t *testing.T, path string, args []ast.Expr, call *ast.CallExpr) string {
	if call.Ellipsis.IsValid() {
		return "…"
	}
	var names []string
	for i := 0; i < len(args); i += 2 {
		name, ok := literal(args[i])
		if !ok {
			return strings.Join(append(names, "…"), ", ")
		}
		if name == "error" {
			t.Errorf("%s: an error's key is err", path)
		}
		names = append(names, "`"+name+"`")
	}
	return strings.Join(names, ", ")
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
