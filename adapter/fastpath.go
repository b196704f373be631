package adapter

import (
	"bytes"
	"encoding/json"
)

// Both this package and Node's adapter write an event's log entry in one layout, so it can be taken apart without
// reflection. Whatever deviates from the layout in any way is left to the general decoding.

// cursor walks over bytes that are valid JSON.
type cursor struct{ rest []byte }

func (c *cursor) skip(literal string) bool {
	if len(c.rest) < len(literal) || string(c.rest[:len(literal)]) != literal {
		return false
	}
	c.rest = c.rest[len(literal):]
	return true
}

// text takes a string that has no escapes.
func (c *cursor) text() (string, bool) {
	if !c.skip(`"`) {
		return "", false
	}
	end := bytes.IndexByte(c.rest, '"')
	if end < 0 || bytes.IndexByte(c.rest[:end], '\\') >= 0 {
		return "", false
	}
	s := string(c.rest[:end])
	c.rest = c.rest[end+1:]
	return s, true
}

// texts takes an array of such strings; it is not nil, since an absent one means something else.
func (c *cursor) texts() ([]string, bool) {
	if !c.skip(`[`) {
		return nil, false
	}
	if c.skip(`]`) {
		return []string{}, true
	}
	list := make([]string, 0, 4)
	for {
		s, ok := c.text()
		if !ok {
			return nil, false
		}
		list = append(list, s)
		if c.skip(`]`) {
			return list, true
		}
		if !c.skip(`,`) {
			return nil, false
		}
	}
}

// array takes an array of anything.
func (c *cursor) array() ([]byte, bool) {
	if len(c.rest) == 0 || c.rest[0] != '[' {
		return nil, false
	}
	depth := 0
	for i := 0; i < len(c.rest); i++ {
		switch c.rest[i] {
		case '"':
			for i++; c.rest[i] != '"'; i++ {
				if c.rest[i] == '\\' {
					i++
				}
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				taken := c.rest[: i+1 : i+1]
				c.rest = c.rest[i+1:]
				return taken, true
			}
		}
	}
	return nil, false
}

// fastEvent decodes the data of an event's entry, or reports that it is not in the layout. data has to be UTF-8.
func fastEvent(data []byte) (opts options, array []byte, ok bool) {
	c := cursor{rest: data}
	if !json.Valid(data) || !c.skip(`{"opts":{"rooms":`) {
		return options{}, nil, false
	}
	if opts.Rooms, ok = c.texts(); !ok || !c.skip(`,"except":`) {
		return options{}, nil, false
	}
	if opts.Except, ok = c.texts(); !ok || !c.skip(`,"flags":{`) {
		return options{}, nil, false
	}
	opts.Flags.Volatile = c.skip(`"volatile":true`)
	if !c.skip(`}},"packet":{"type":2,"data":`) {
		return options{}, nil, false
	}
	if array, ok = c.array(); !ok {
		return options{}, nil, false
	}
	if c.skip(`,"nsp":`) {
		if _, ok = c.text(); !ok {
			return options{}, nil, false
		}
	}
	return opts, array, string(c.rest) == `}}`
}
