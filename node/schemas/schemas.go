// Package schemas owns the JSON Schemas (draft 2020-12) of all events that clients are sent or send: events/ of the Core API, families/
// of what routing needs of any other event of its kinds, server/ of the gateway's own, and client/ of what clients send. It
// tells whether data keeps its schema; it never decides what becomes of an event that does not.
package schemas

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Files holds the schemas, as they stand in this directory.
//
//go:embed common.json events families server client
var Files embed.FS

// Directories of Files.
const (
	dirEvents   = "events"
	dirFamilies = "families"
	dirServer   = "server"
	dirClient   = "client"
)

// ErrUnknown is a name that no schema is for.
var ErrUnknown = errors.New("no schema")

// Match is which schema an event was held to.
type Match uint8

// Matches.
const (
	Unlisted Match = iota // none: it is of no known kind, or names its rooms itself
	Family                // its kind's
	Listed                // its own
)

// Set is the compiled schemas of the Core API's events. It is immutable and safe for concurrent use.
type Set struct{ events, families map[string]*jsonschema.Schema }

// Compile compiles them, which takes some milliseconds. An error is a fault of the files.
func Compile() (*Set, error) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(embedded{})
	s := &Set{events: map[string]*jsonschema.Schema{}, families: map[string]*jsonschema.Schema{}}
	for dir, into := range map[string]map[string]*jsonschema.Schema{dirEvents: s.events, dirFamilies: s.families} {
		for _, name := range Names(dir) {
			compiled, err := compiler.Compile(place + dir + "/" + name + ".json")
			if err != nil {
				return nil, fmt.Errorf("schema of %s: %w", name, err)
			}
			into[name] = compiled
		}
	}
	return s, nil
}

// Names lists the schemas of a directory of Files, in order.
func Names(dir string) []string {
	entries, err := fs.ReadDir(Files, dir)
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), path.Ext(entry.Name()))
	}
	return names
}

// Text is the schema of an event by its name: its own, else its kind's. The error is ErrUnknown.
func Text(event string) ([]byte, error) {
	kind, _, _ := strings.Cut(event, "_")
	for _, file := range []string{dirEvents + "/" + event, dirServer + "/" + event, dirClient + "/" + event, dirFamilies + "/" + kind} {
		if text, err := Files.ReadFile(file + ".json"); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("%w for %.100q", ErrUnknown, event)
}

// Check holds an event's data to the schema of its name, else to that of its kind; not to that one if the event names its
// rooms itself, for its ids are of no need then. data has to be a JSON object. The error is a *ViolationError.
func (s *Set) Check(event string, data json.RawMessage, ownRooms bool) (Match, error) {
	schema, match := s.events[event], Listed
	if schema == nil {
		kind, _, _ := strings.Cut(event, "_")
		if schema, match = s.families[kind], Family; schema == nil || ownRooms {
			return Unlisted, nil
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // large integers stay what they are
	var value any
	if err := decoder.Decode(&value); err != nil {
		return match, &ViolationError{Problem: "is not JSON"}
	}
	return match, violation(schema.Validate(tame(value)))
}

// place begins the schemas' addresses, from which nothing is loaded.
const place = "https://schemas.teloo.example/realtime/"

// embedded loads schemas from Files and nothing else.
type embedded struct{}

var _ jsonschema.URLLoader = embedded{}

// Load returns the schema of an address below place.
func (embedded) Load(address string) (any, error) {
	file, ours := strings.CutPrefix(address, place)
	if !ours {
		return nil, fmt.Errorf("%w at %s", ErrUnknown, address)
	}
	text, err := Files.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}
