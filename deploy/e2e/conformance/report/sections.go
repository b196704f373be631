package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// clients is what the tests of other clients say, which are not this suite's.
//
//go:embed clients.md
var clients string

const preamble = `# Conformance

Written by ~make conformance ARGS=-update~ from what the tests said; ~make conformance~ fails if it differs. The cases are
our own, from the published protocol texts ([Engine.IO](https://github.com/socketio/engine.io-protocol),
[Socket.IO](https://github.com/socketio/socket.io-protocol)). Each of Socket.IO's runs over WebSocket, over polling, and
after an upgrade. They run on the gateway's engine under the Socket.IO library, and on Node's ~socket.io~ 4.8, which shows
that they ask for what is right. A case that Node cannot be asked, since it is about the gateway's own promises or looks
into the server's process, is left out there; a test that is left out counts once, however many cases it has.

| | section | gateway | Node | left out at Node |
|---|---|---|---|---|
`

// section is a part of the suite: a file of it.
type section struct{ protocol, title, file string }

const (
	engineIO = "Engine.IO v4"
	socketIO = "Socket.IO v5"
	oldIO    = "With `ALLOW_EIO3`"
	life     = "Life of a connection"
)

// sections are all files of the suite that hold tests, in the page's order.
var sections = []section{
	{engineIO, "Handshake, refusals, origins", "handshake"},
	{engineIO, "Packets and payloads, both transports", "message"},
	{engineIO, "WebSocket frames", "frames"},
	{engineIO, "Upgrade", "upgrade"},
	{engineIO, "Heartbeat and ping time-outs", "heartbeat"},
	{engineIO, "Closing, by either side", "close"},
	{engineIO, "Size limits", "limits"},
	{socketIO, "CONNECT, CONNECT_ERROR", "connect"},
	{socketIO, "Namespaces, DISCONNECT", "namespaces"},
	{socketIO, "EVENT, ACK", "event"},
	{socketIO, "BINARY_EVENT, BINARY_ACK", "binary"},
	{socketIO, "Malformed packets", "malformed"},
	{oldIO, "Engine.IO v3, and clients of Socket.IO 2", "oldprotocol"},
	{life, "Clients that are sent away", "kick"},
	{life, "What the library's own engine gets wrong", "traps"},
}

// apart is the file of the tests that are run by themselves, with `make soak`.
const apart = "soak"

// render writes the page.
func render(results []result) ([]byte, error) {
	files, err := testsByFile()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(strings.ReplaceAll(preamble, "~", "`"))
	sums := make([]int, 3)
	for _, s := range sections {
		row := []int{count(results[0].passed, files[s.file]), count(results[1].passed, files[s.file]), count(results[1].skipped, files[s.file])}
		for i, n := range row {
			sums[i] += n
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d |\n", s.protocol, s.title, row[0], row[1], row[2])
	}
	fmt.Fprintf(&b, "| | **all** | **%d** | **%d** | **%d** |\n\n## Known differences\n\n", sums[0], sums[1], sums[2])
	for i, who := range []string{"The gateway", "Node"} {
		for _, what := range results[i].differences {
			fmt.Fprintf(&b, "* %s: %s.\n", who, what)
		}
	}
	b.WriteString(clients)
	return b.Bytes(), nil
}

func count(by map[string]int, tests []string) (n int) {
	for _, name := range tests {
		n += by[name]
	}
	return n
}

// testsByFile reads which tests each file of the suite has. The error names one that is in no section.
func testsByFile() (map[string][]string, error) {
	paths, err := filepath.Glob("deploy/e2e/conformance/*_test.go")
	if err != nil {
		return nil, err
	}
	tests := map[string][]string{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(filepath.Base(path), "_test.go")
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(fn.Name.Name, "Test") && fn.Name.Name != "TestMain" {
				tests[name] = append(tests[name], fn.Name.Name)
			}
		}
		known := name == apart || slices.ContainsFunc(sections, func(s section) bool { return s.file == name })
		if !known && len(tests[name]) > 0 {
			return nil, fmt.Errorf("conformance: %s is in no section of report/sections.go", path)
		}
	}
	return tests, nil
}
