package commandline

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Option is a flag, or an argument by position.
type Option struct {
	// Name is without hyphens before it, Short a letter or empty.
	Name, Short string
	Help        string
	// Placeholder stands for the value in the help; the type does, if it is empty.
	Placeholder string
	// Default as it stands in the tag. Empty: the type's zero.
	Default string
	// Enum are the values that are allowed. Empty: any.
	Enum []string
	// Path is that the value is a file's name.
	Path             bool
	Required, Hidden bool

	argument bool
	xor      string
	value    any // points to the field
	given    bool
}

var _ pflag.Value = (*Option)(nil)

// Type is what the option takes, in one word, or empty if there is no flag of that type.
func (o *Option) Type() string {
	switch o.value.(type) {
	case *string, *[]string:
		return "string"
	case *bool:
		return "bool"
	case *int:
		return "int"
	case *float64:
		return "float"
	case *time.Duration, **time.Duration:
		return "duration"
	case *time.Time:
		return "time"
	default:
		return ""
	}
}

// String is the default.
func (o *Option) String() string { return o.Default }

// Set reads text into the field. Its error names the text.
func (o *Option) Set(text string) error {
	if len(o.Enum) > 0 && !slices.Contains(o.Enum, text) {
		return fmt.Errorf("must be one of %s but got %q", strings.Join(o.Enum, ", "), text)
	}
	o.given = true
	var err error
	switch v := o.value.(type) {
	case *string:
		*v = text
		if o.Path {
			*v, err = absolute(text)
		}
	case *[]string:
		*v = append(*v, split(text)...)
	case *bool:
		*v, err = parseBool(text)
	case *int:
		var n int64
		if n, err = strconv.ParseInt(text, 0, strconv.IntSize); err != nil {
			return fmt.Errorf("expected a whole number but got %q", text)
		}
		*v = int(n)
	case *float64:
		if *v, err = strconv.ParseFloat(text, 64); err != nil {
			return fmt.Errorf("expected a number but got %q", text)
		}
	case *time.Duration:
		*v, err = parseDuration(text)
	case **time.Duration:
		var d time.Duration
		d, err = parseDuration(text)
		*v = &d
	case *time.Time:
		if *v, err = time.Parse(time.RFC3339, text); err != nil {
			return fmt.Errorf("expected a time as 2026-01-31T12:00:00Z but got %q", text)
		}
	}
	return err
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("expected a duration as 1m30s but got %q", text)
	}
	return d, nil
}

func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "1", "yes":
		return true, nil
	case "false", "0", "no":
		return false, nil
	default:
		return false, fmt.Errorf("must be true, 1, yes, false, 0 or no but got %q", text)
	}
}

// absolute expands ~ and relative paths, and leaves - as it is.
func absolute(path string) (string, error) {
	if path == "-" || path == "" {
		return path, nil
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("%q: %w", path, err)
		}
		path = filepath.Join(home, rest)
	}
	return filepath.Abs(path)
}

// split parts a list at its commas; \, is a comma in a value.
func split(list string) []string {
	const comma = "\x00"
	parts := strings.Split(strings.ReplaceAll(list, `\,`, comma), ",")
	if parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, comma, ",")
	}
	return parts
}

// usage is how a flag or an argument is given.
func (o *Option) usage() string {
	if o.argument {
		name := "<" + o.Name + ">"
		if _, list := o.value.(*[]string); list {
			name = "<" + o.Name + "> ..."
		}
		if !o.Required {
			name = "[" + name + "]"
		}
		return name
	}
	switch o.value.(type) {
	case *bool:
		return "--" + o.Name
	case *[]string:
		return "--" + o.Name + "=" + o.takes() + ",..."
	default:
		return "--" + o.Name + "=" + o.takes()
	}
}

// takes stands for the value.
func (o *Option) takes() string {
	if o.Placeholder != "" {
		return o.Placeholder
	}
	return strings.ToUpper(o.Type())
}
