// Command report runs the conformance suite on the gateway's engine and on Node's, and prints how many of its cases passed
// where, by section; deploy/CONFORMANCE.md is what it printed. It knows the suite by its source files alone.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// errFailed says that cases failed, or that the page is not what was found; the rest has been printed.
var errFailed = errors.New("conformance: failed")

const page = "deploy/CONFORMANCE.md"

var peers = []string{"ours", "node"}

func main() {
	update := flag.Bool("update", false, "write "+page)
	flag.Parse()
	if err := run(context.Background(), *update, flag.Args(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run runs the suite on each peer, with further arguments of `go test`.
func run(ctx context.Context, update bool, args []string, out io.Writer) error {
	var results []result
	for _, peer := range peers {
		r, err := test(ctx, peer, args, out)
		if err != nil {
			return err
		}
		results = append(results, r)
	}
	made, err := render(results)
	if err != nil {
		return err
	}
	_, _ = out.Write(made)
	for _, r := range results {
		if r.failed {
			return errFailed
		}
	}
	if update {
		return os.WriteFile(page, made, 0o644) //nolint:gosec // a page of the documentation
	}
	written, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if len(args) == 0 && !bytes.Equal(written, made) {
		return fmt.Errorf("conformance: %s is not what was found; write it with `make conformance ARGS=-update`", page)
	}
	return nil
}

// result is what one peer's tests said.
type result struct {
	passed, skipped map[string]int // by the test's name
	differences     []string
	failed          bool
}

// event is a line of `go test -json`.
type event struct {
	Action string `json:"Action"`
	Test   string `json:"Test"`
	Output string `json:"Output"`
}

// test runs the suite on one peer. What fails is shown whole.
func test(ctx context.Context, peer string, args []string, out io.Writer) (result, error) {
	command := append([]string{"test", "-json", "-race", "-count=1", "-timeout", "10m", "./deploy/e2e/conformance", "-engine=" + peer}, args...)
	cmd := exec.CommandContext(ctx, "go", command...) //nolint:gosec // arguments of the developer's own
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return result{}, err
	}
	if err := cmd.Start(); err != nil {
		return result{}, err
	}
	r := result{passed: map[string]int{}, skipped: map[string]int{}}
	r.read(stdout, out)
	if err := cmd.Wait(); err != nil {
		r.failed = true
	}
	slices.Sort(r.differences)
	r.differences = slices.Compact(r.differences)
	return r, nil
}

const differenceMark = "known difference: "

func (r *result) read(from io.Reader, out io.Writer) {
	said := map[string][]string{}
	parents := map[string]bool{}
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if i := strings.LastIndexByte(e.Test, '/'); i > 0 {
			parents[e.Test[:i]] = true
		}
		switch e.Action {
		case "output":
			said[e.Test] = append(said[e.Test], e.Output)
			if _, what, found := strings.Cut(strings.TrimSpace(e.Output), differenceMark); found {
				r.differences = append(r.differences, what)
			}
		case "pass", "skip":
			r.count(e, parents[e.Test])
			delete(said, e.Test)
		case "fail":
			r.failed = true
			_, _ = io.WriteString(out, strings.Join(said[e.Test], ""))
		}
	}
}

// count counts a case; a test that has subtests is none.
func (r *result) count(e event, parent bool) {
	name, _, _ := strings.Cut(e.Test, "/")
	switch {
	case e.Test == "" || parent:
	case e.Action == "pass":
		r.passed[name]++
	default:
		r.skipped[name]++
	}
}
