package main

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// Fault is one thing wrong with one variable. It never holds a secret.
type Fault struct {
	Name    string `json:"name"`
	Problem string `json:"problem"`
	Example string `json:"example,omitempty"` // a valid value
}

// String is the fault on one line.
func (f Fault) String() string {
	if f.Example == "" {
		return f.Name + ": " + f.Problem
	}
	return fmt.Sprintf("%s: %s; for example %s=%s", f.Name, f.Problem, f.Name, f.Example)
}

// ConfigError is all faults of a configuration, one line each.
type ConfigError []Fault

func (fs ConfigError) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// of returns the faults of names with one of the prefixes, and those that concern no single variable; all without any.
func (fs ConfigError) of(prefixes []string) ConfigError {
	if len(prefixes) == 0 {
		return fs
	}
	var some ConfigError
	for _, f := range fs {
		_, known := lookup(f.Name)
		if !known || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(f.Name, p) }) {
			some = append(some, f)
		}
	}
	return some
}

// secret is a string that formatting and logging never show.
type secret string

var (
	_ encoding.TextMarshaler   = secret("")
	_ encoding.TextUnmarshaler = (*list)(nil)
	_ encoding.TextUnmarshaler = (*pairs)(nil)
)

// String hides the secret.
func (s secret) String() string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("****** (%d bytes)", len(s))
}

// GoString hides the secret from %#v.
func (s secret) GoString() string { return s.String() }

// LogValue hides the secret from slog.
func (s secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret from encoders.
func (s secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// list is a comma-separated list; spaces around entries and empty entries do not count.
type list []string

// UnmarshalText splits the text.
func (l *list) UnmarshalText(text []byte) error {
	*l = nil
	for part := range strings.SplitSeq(string(text), ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// pairs is a comma-separated list of key=value; keys are lower-cased and must differ.
type pairs map[string]string

// UnmarshalText splits the text.
func (p *pairs) UnmarshalText(text []byte) error {
	var parts list
	_ = parts.UnmarshalText(text)
	m := make(pairs, len(parts))
	for _, part := range parts {
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if !ok || key == "" || value == "" {
			return fmt.Errorf("%s is not name=value", quote(part))
		}
		if _, twice := m[key]; twice {
			return fmt.Errorf("%s stands there twice", quote(key))
		}
		m[key] = value
	}
	if len(m) == 0 {
		return errors.New("the list is empty")
	}
	*p = m
	return nil
}

// quote shows a value in a message, shortened when long.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
