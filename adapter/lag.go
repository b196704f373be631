package adapter

import "time"

const (
	// lateAfter is how old an entry has to be for it to count as caught up with.
	lateAfter = time.Second
	// lagCreep is how slowly, in parts of the time that passes, a clock that was set back is believed.
	lagCreep = 1000
)

// lag tells how late entries are read, by the time of their ids. The clock behind those is another machine's, so it
// takes the entries that arrived soonest for punctual. It belongs to one goroutine.
type lag struct {
	began time.Time
	now   int64 // ms since began
	crept int64 // ms since began, up to when least has been raised
	// least is the smallest difference so far between our time and that of an entry, in ms.
	least int64
	known bool
}

// tick notes the time at which entries were read.
func (l *lag) tick() {
	if l.began.IsZero() {
		l.began = time.Now()
	}
	l.advance(time.Since(l.began).Milliseconds())
}

func (l *lag) advance(now int64) {
	l.now = now
	if steps := (now - l.crept) / lagCreep; steps > 0 {
		l.least += steps
		l.crept += steps * lagCreep
	}
}

// of is how late an entry was.
func (l *lag) of(id streamID) time.Duration {
	difference := l.now - int64(id.ms)
	if !l.known || difference < l.least {
		l.known, l.least = true, difference
	}
	return time.Duration(difference-l.least) * time.Millisecond
}
