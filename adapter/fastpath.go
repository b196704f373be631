package adapter

import (
	"strings"
	"unsafe"

	"github.com/teloo/realtime-gateway/streams/jsonscan"
)

// Both this package and Node's adapter write an event's log entry in one layout, so it can be taken apart without
// reflection. Whatever deviates from the layout in any way is left to the general decoding.

// cursor walks over the data of an entry.
type cursor struct{ rest string }

func (c *cursor) skip(literal string) bool {
	if !strings.HasPrefix(c.rest, literal) {
		return false
	}
	c.rest = c.rest[len(literal):]
	return true
}

// text takes a string that has no escapes.
func (c *cursor) text() (string, bool) {
	if c.rest == "" || c.rest[0] != '"' {
		return "", false
	}
	end := jsonscan.String(c.rest, 0)
	if end < 0 || strings.IndexByte(c.rest[:end], '\\') >= 0 {
		return "", false
	}
	s := c.rest[1 : end-1]
	c.rest = c.rest[end:]
	return s, true
}

// texts takes an array of such strings, and copies them, since what they are a part of is not kept. It is not nil: an
// absent one means something else.
func (c *cursor) texts() ([]string, bool) {
	if c.skip(`[]`) {
		return []string{}, true
	}
	if !c.skip(`[`) {
		return nil, false
	}
	ahead, n := *c, 1
	for {
		if _, ok := ahead.text(); !ok {
			return nil, false
		}
		if !ahead.skip(`,`) {
			break
		}
		n++
	}
	all := cursor{rest: strings.Clone(c.rest[:len(c.rest)-len(ahead.rest)])}
	*c = ahead
	list := make([]string, n)
	for i := range list {
		list[i], _ = all.text()
		all.skip(`,`)
	}
	return list, c.skip(`]`)
}

// array takes an array of anything.
func (c *cursor) array() (string, bool) {
	if c.rest == "" || c.rest[0] != '[' {
		return "", false
	}
	end := jsonscan.Value(c.rest, 0, maxDepth)
	if end < 0 {
		return "", false
	}
	taken := c.rest[:end]
	c.rest = c.rest[end:]
	return taken, true
}

// fastEvent decodes the data of an event's entry, or reports that it is not in the layout. data has to be UTF-8. The array
// is a part of data, and must not be changed.
func fastEvent(data string) (opts options, array []byte, ok bool) {
	c := cursor{rest: data}
	if !c.skip(`{"opts":{"rooms":`) {
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
	args, ok := c.array()
	if !ok {
		return options{}, nil, false
	}
	if c.skip(`,"nsp":`) {
		if _, ok = c.text(); !ok {
			return options{}, nil, false
		}
	}
	if c.rest != `}}` {
		return options{}, nil, false
	}
	return opts, unsafe.Slice(unsafe.StringData(args), len(args)), true //nolint:gosec // nobody changes it
}
