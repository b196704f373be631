package commandline

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
)

// build reads the tags of c's target, and of the commands below it.
func (c *Command) build() error {
	if err := c.fields(reflect.ValueOf(c.Target).Elem()); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	c.set = pflag.NewFlagSet(c.Name, pflag.ContinueOnError)
	c.set.SetInterspersed(len(c.Commands) == 0)
	for _, o := range c.Flags {
		f := &pflag.Flag{Name: o.Name, Shorthand: o.Short, Value: o}
		if _, ok := o.value.(*bool); ok {
			f.NoOptDefVal = "true"
		}
		c.set.AddFlag(f)
	}
	if c.parent != nil {
		c.set.AddFlagSet(c.parent.set)
	}
	for _, child := range c.Commands {
		child.parent = c
		if err := child.build(); err != nil {
			return err
		}
	}
	return nil
}

// fields adds those of a struct to c.
func (c *Command) fields(s reflect.Value) error {
	for i := range s.NumField() {
		f := s.Type().Field(i)
		if _, embedded := f.Tag.Lookup("embed"); embedded {
			if err := c.fields(s.Field(i)); err != nil {
				return err
			}
			continue
		}
		if !f.IsExported() {
			continue
		}
		name := f.Tag.Get("name")
		if name == "" {
			name = hyphenated(f.Name)
		}
		target := s.Field(i).Addr().Interface()
		if _, command := f.Tag.Lookup("cmd"); command {
			c.Commands = append(c.Commands, &Command{Name: name, About: f.Tag.Get("help"), Target: target})
			continue
		}
		o, err := newOption(name, f.Tag, target)
		if err != nil {
			return err
		}
		if _, argument := f.Tag.Lookup("arg"); argument {
			_, optional := f.Tag.Lookup("optional")
			o.argument, o.Required = true, !optional
			c.Arguments = append(c.Arguments, o)
		} else {
			c.Flags = append(c.Flags, o)
		}
	}
	return nil
}

// newOption reads a flag's or an argument's tags, and sets its default.
func newOption(name string, tag reflect.StructTag, target any) (*Option, error) {
	o := &Option{
		Name: name, Short: tag.Get("short"), Help: tag.Get("help"), Placeholder: tag.Get("placeholder"),
		Default: tag.Get("default"), Path: tag.Get("type") == "path", xor: tag.Get("xor"), value: target,
	}
	_, o.Required = tag.Lookup("required")
	_, o.Hidden = tag.Lookup("hidden")
	if enum, ok := tag.Lookup("enum"); ok {
		o.Enum = strings.Split(enum, ",")
	}
	if o.Type() == "" {
		return nil, fmt.Errorf("%s: no flag can be a %T", name, target)
	}
	if o.Default != "" {
		if err := o.Set(o.Default); err != nil {
			return nil, fmt.Errorf("%s: its default: %w", name, err)
		}
		o.given = false
	}
	return o, nil
}

// hyphenated makes token-file of TokenFile, and ttl of TTL.
func hyphenated(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if i > 0 && unicode.IsUpper(r) &&
			(unicode.IsLower(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
