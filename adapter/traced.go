package adapter

import (
	"bytes"
	"time"
)

// Delivered is an entry of the log with a trace context that this node has handed to its sockets.
type Delivered struct {
	// TraceParent is the entry's W3C trace context, as it stands there.
	TraceParent string
	// Entry is its id, Source the event's, "" if it has none.
	Entry, Source string
	Event         string
	Rooms         int
	// Sockets is how many sockets of this node it was for.
	Sockets    uint64
	Begin, End time.Time
}

// deliverTraced is deliver for an entry whose trace somebody wants.
func (a *nspAdapter) deliverTraced(d delivery, raw *rawEntry) Delivered {
	begin := time.Now()
	sockets := a.deliver(d)
	return Delivered{
		TraceParent: raw.trace, Entry: raw.id.String(), Source: raw.from, Event: d.frame.event(), Rooms: len(d.opts.Rooms),
		Sockets: sockets, Begin: begin, End: time.Now(),
	}
}

// event is the name of the frame's event, "" if it is not plain text.
func (f *frame) event() string {
	array := f.frames[0][f.array:]
	if !bytes.HasPrefix(array, []byte(`["`)) {
		return ""
	}
	name, _, _ := bytes.Cut(array[2:], []byte(`"`))
	if bytes.ContainsRune(name, '\\') {
		return ""
	}
	return string(name)
}
