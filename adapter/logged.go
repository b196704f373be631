package adapter

import (
	"bytes"

	"github.com/redis/go-redis/v9"
)

// decode fills in what a ring needs of the entry, and returns the entry itself; one without a namespace is a position
// and nothing else. After an error l is a position, too.
func (l *logged) decode(raw *rawEntry) (entry, error) {
	if raw.nsp == "" {
		l.resets = raw.from == sourceReset && raw.fields == 1
		return entry{}, nil
	}
	if raw.sourced {
		source, err := parseStreamID(raw.from)
		if err != nil {
			return entry{}, err
		}
		l.source = source
	}
	e, err := decodeEntry(raw)
	if err != nil {
		return entry{}, err
	}
	e.id = l.id
	l.nsp, l.opts = e.nsp, e.opts
	switch e.kind {
	case typeBroadcast:
		// As with Node: what wants an answer or may be lost is not recovered, unless its client would take its last argument
		// for the position.
		if e.packet.id == nil && (!e.opts.Flags.Volatile || endsInText(e.packet.array)) {
			e.packet.offset = l.id
		}
		l.frame = newFrame(e.nsp, e.packet, e.opts.Flags)
	case typeDisconnect:
		l.kicks = true
	default:
	}
	return e, nil
}

// endsInText reports whether a JSON array's last element is a string.
func endsInText(array []byte) bool {
	last := bytes.TrimRight(array[:max(len(array)-1, 0)], " \t\r\n")
	return bytes.HasSuffix(last, []byte{'"'})
}

// replayed reports whether the entry means something to a client that was away.
func (l *logged) replayed() bool { return l.kicks || l.frame != nil && !l.frame.id.isZero() }

// loggedOf decodes an entry for replay only; nil if it has no id of ours. A faulty entry, which the reader counts, or has
// counted, leaves its position.
func (c *Cluster) loggedOf(message redis.XMessage) *logged {
	raw, err := rawEntryOf(message)
	if err != nil {
		return nil
	}
	l := &logged{id: raw.id}
	c.guard("decoding", func() { _, _ = l.decode(&raw) })
	return l
}
