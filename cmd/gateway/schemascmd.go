package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/teloo/realtime-gateway/node/schemas"
)

type schemasCmd struct {
	Dir string `arg:"" help:"Directory to write every schema to, and the bundle; without it, the bundle is shown: all events of the Core API in one JSON Schema." optional:"" placeholder:"DIR"`
}

// bundleFile is the bundle's name in a directory of schemas.
const bundleFile = "events.schema.json"

// Run writes the schemas, or shows the bundle.
func (s *schemasCmd) Run(a *app) error {
	bundle, err := schemas.Bundle()
	if err != nil {
		return err
	}
	if s.Dir == "" {
		_, err = a.stdout.Write(bundle)
		return err
	}
	written := 1
	if err := writeSchema(filepath.Join(s.Dir, bundleFile), bundle); err != nil {
		return err
	}
	err = fs.WalkDir(schemas.Files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := schemas.Files.ReadFile(file)
		if err != nil {
			return err
		}
		written++
		return writeSchema(filepath.Join(s.Dir, filepath.FromSlash(file)), text)
	})
	if err == nil {
		_, err = fmt.Fprintf(a.stdout, "%d files in %s\n", written, s.Dir)
	}
	return err
}

// writeSchema writes a file that everybody may read.
func writeSchema(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // schemas are no secret
		return err
	}
	return os.WriteFile(file, text, 0o644) //nolint:gosec // as above
}

// showSchema prints the schema of an event: its own, else its kind's.
func (e *explainCmd) showSchema(a *app) error {
	text, err := schemas.Text(e.Event)
	if err != nil {
		return fmt.Errorf("--schema: %w", err)
	}
	_, err = a.stdout.Write(text)
	return err
}
