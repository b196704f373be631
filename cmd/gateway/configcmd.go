package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
)

type configCmd struct {
	JSON     bool `help:"Print JSON."                            xor:"form"`
	Markdown bool `help:"Print the README's table of variables." hidden:""  xor:"form"`
	Example  bool `help:"Print .env.example."                    hidden:""  xor:"form"`
}

// setting is one variable as it is in effect.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source Source `json:"source"`
}

// Run prints the configuration in effect, its warnings and its faults; faults are a failure.
func (c *configCmd) Run(a *app) error {
	switch {
	case c.Markdown:
		return writeMarkdown(a.stdout)
	case c.Example:
		return writeEnvExample(a.stdout)
	}
	r := readConfig(a.environ, a.envFile)
	write := writeSettings
	if c.JSON {
		write = writeSettingsJSON
	}
	if err := write(a.stdout, r); err != nil {
		return err
	}
	a.warn(r.Warnings...)
	if len(r.Faults) > 0 {
		return r.Faults
	}
	return nil
}

// settings are the variables in effect, secrets masked.
func (r *reading) settings() []setting {
	all := make([]setting, len(variables))
	for i, v := range variables {
		all[i] = setting{Name: v.Name, Value: v.shown(r.Raw[v.Name]), Source: r.Sources[v.Name]}
	}
	return all
}

// shown is a value as people may see it.
func (v variable) shown(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return ""
	case v.Name == "REDIS_URL" && err == nil && u.RawQuery == "" && (u.Scheme == "redis" || u.Scheme == "rediss"):
		return u.Redacted()
	case v.Secret:
		return secret(raw).String()
	case v.Name == "JWT_JWKS_URL" && err == nil:
		if u.RawQuery != "" {
			u.RawQuery = "xxxxx"
		}
		return u.Redacted()
	case err == nil && u.User != nil:
		return u.Redacted()
	case strings.HasPrefix(v.Name, "REDIS_") && strings.Contains(raw, "@"): // no URL belongs here, but one may be
		return withoutUser(raw)
	default:
		return raw
	}
}

func writeSettings(w io.Writer, r reading) error {
	var b strings.Builder
	b.WriteString("NAME\tVALUE\tSOURCE\n")
	for _, s := range r.settings() {
		if s.Value == "" {
			s.Value = "-"
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\n", s.Name, printable(s.Value), s.Source)
	}
	return align(w, b.String())
}

// align writes lines of cells, separated by tabs, as columns.
func align(w io.Writer, lines string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := io.WriteString(t, lines); err != nil {
		return err
	}
	return t.Flush()
}

// printable keeps a value on its line and in its column.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return quote(s)
	}
	return s
}

func writeSettingsJSON(w io.Writer, r reading) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(map[string]any{
		"settings": r.settings(),
		"faults":   append(ConfigError{}, r.Faults...),
		"warnings": append([]string{}, r.Warnings...),
	})
}

// writeMarkdown writes the variables as the README's table.
func writeMarkdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, v := range variables {
		def := v.Derived
		if def == "" {
			def = "`" + v.defaultText() + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name, def, v.Doc)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEnvExample writes .env.example: every variable with an example, commented out, since each has a default.
func writeEnvExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Copy to .env, which `gateway` reads from its working directory. The environment wins over it; an empty value\n" +
		"# counts as unset. `gateway config` shows what is in effect, and every fault. JWT_SECRET_KEY, or another key, is the\n" +
		"# only thing without which a node does not start.\n")
	for _, v := range variables {
		if v.Group != "" {
			fmt.Fprintf(&b, "\n## %s\n", v.Group)
		}
		b.WriteString("\n")
		comment(&b, strings.ReplaceAll(v.Doc+" Default: "+v.defaultText()+".", "`", ""))
		fmt.Fprintf(&b, "#%s=%s\n", v.Name, v.Example)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// comment writes text as comment lines of at most 118 bytes.
func comment(b *strings.Builder, text string) {
	const width = 118
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
