package commandline

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	helpWidth = 80 // columns
	termWidth = 30 // columns that the left side of a table may have; what is longer has a line of its own
)

// Path is the name with those of the commands above it.
func (c *Command) Path() string {
	if c.parent == nil {
		return c.Name
	}
	return c.parent.Path() + " " + c.Name
}

// WriteHelp writes the command's help.
func (c *Command) WriteHelp(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s\n", c.usageLine())
	if c.About != "" {
		b.WriteString("\n" + wrapped(c.About, 0) + "\n")
	}
	b.WriteString(table("Arguments:", c.Arguments, func(a *Option) row { return row{"  " + a.usage(), a.described()} }))
	title := "Flags:"
	for _, level := range c.lineage() {
		flags := slices.DeleteFunc(slices.Clone(level.Flags), func(o *Option) bool { return o.Hidden })
		b.WriteString(table(title, flags, func(o *Option) row {
			return row{o.dashed() + strings.TrimPrefix(o.usage(), "--"+o.Name), o.described()}
		}))
		if len(flags) > 0 {
			title = ""
		}
	}
	b.WriteString(table("Commands:", c.leaves(), func(leaf *Command) row {
		return row{"  " + strings.TrimPrefix(leaf.Path(), c.Path()+" "), leaf.About}
	}))
	if more, ok := c.Target.(interface{ Help() string }); ok {
		for paragraph := range strings.SplitSeq(more.Help(), "\n\n") {
			b.WriteString("\n" + wrapped(paragraph, 0) + "\n")
		}
	}
	if len(c.Commands) > 0 {
		fmt.Fprintf(&b, "\nRun \"%s <command> --help\" for more information on a command.\n", c.Path())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// usageLine is the command with what it requires.
func (c *Command) usageLine() string {
	words := []string{c.Path()}
	if len(c.Commands) > 0 {
		words = append(words, "<command>")
	}
	for _, o := range c.Flags {
		if o.Required {
			words = append(words, o.usage())
		}
	}
	if len(c.Arguments) > 0 {
		words = append(words, synopsis(c.Arguments))
	}
	return strings.Join(append(words, "[flags]"), " ")
}

// lineage are the commands whose flags c takes, the program first.
func (c *Command) lineage() []*Command {
	if c.parent == nil {
		return []*Command{c}
	}
	return append(c.parent.lineage(), c)
}

// leaves are the commands below c that can be run.
func (c *Command) leaves() (leaves []*Command) {
	for _, child := range c.Commands {
		if len(child.Commands) == 0 {
			leaves = append(leaves, child)
		}
		leaves = append(leaves, child.leaves()...)
	}
	return leaves
}

// synopsis is how arguments are given.
func synopsis(arguments []*Option) string {
	words := make([]string, 0, len(arguments))
	for _, a := range arguments {
		words = append(words, a.usage())
	}
	return strings.Join(words, " ")
}

// dashed is a flag with its letter, so that names stand below each other.
func (o *Option) dashed() string {
	if o.Short == "" {
		return "      --" + o.Name
	}
	return "  -" + o.Short + ", --" + o.Name
}

// described is the help with what else there is to say.
func (o *Option) described() string {
	help := o.Help
	if len(o.Enum) > 0 {
		help += " One of " + strings.Join(o.Enum, ", ") + "."
	}
	if o.Default != "" {
		help += " (default " + o.Default + ")"
	}
	return strings.TrimSpace(help)
}

// row is a term and what it means.
type row struct{ term, meaning string }

// table is a section of the help, or nothing if there is nothing to list.
func table[T any](title string, list []T, of func(T) row) string {
	if len(list) == 0 {
		return ""
	}
	column := 0
	rows := make([]row, len(list))
	for i, item := range list {
		rows[i] = of(item)
		if n := utf8.RuneCountInString(rows[i].term); n <= termWidth {
			column = max(column, n)
		}
	}
	column += 4
	var b strings.Builder
	b.WriteByte('\n')
	if title != "" {
		b.WriteString(title + "\n")
	}
	for _, r := range rows {
		term := fmt.Sprintf("%-*s", column, r.term)
		if utf8.RuneCountInString(r.term) > termWidth {
			term = r.term + "\n" + strings.Repeat(" ", column)
		}
		b.WriteString(strings.TrimRight(term+wrapped(r.meaning, column), " ") + "\n")
	}
	return b.String()
}

// wrapped breaks text into lines that end at helpWidth, with an indent before all but the first.
func wrapped(text string, indent int) string {
	var b strings.Builder
	used := indent
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = indent
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String()
}
