package adapter

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/redis/go-redis/v9"
)

// rawEntry is an entry of the log as Redis has it. Its strings may be parts of one large reply: what is kept of them has to
// be copied.
type rawEntry struct {
	id                         streamID
	uid, nsp, kind, data, from string
	sourced                    bool // it has a field for the source, which is from
	fields                     int
}

func (e *rawEntry) set(field, value string) {
	e.fields++
	switch field {
	case fieldUID:
		e.uid = value
	case fieldNsp:
		e.nsp = value
	case fieldType:
		e.kind = value
	case fieldData:
		e.data = value
	case fieldSrc:
		e.from, e.sourced = value, true
	}
}

// rawEntryOf converts what the client has decoded.
func rawEntryOf(m redis.XMessage) (rawEntry, error) {
	id, err := parseStreamID(m.ID)
	if err != nil {
		return rawEntry{}, err
	}
	e := rawEntry{id: id}
	for field, value := range m.Values {
		text, _ := value.(string)
		e.set(field, text)
	}
	return e, nil
}

// processor is a client or a pipeline.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// logRead is a read of one stream. A block below zero does not wait.
type logRead struct {
	key   string
	after streamID
	count int
	block time.Duration
}

// send has a read carried out; the function returned tells its outcome, no entries if there were none in time.
//
// The client's own decoding takes nearly twenty allocations an entry, so the reply is taken as it is. But then the client
// does not see that it may be an error, which can concern it (the server is another's replica now, the key has moved): the
// error is errRefused then, and the read has to be repeated plainly.
func (q logRead) send(ctx context.Context, to processor, plainly bool) func() ([]rawEntry, error) {
	args := append(make([]any, 0, 8), "xread", "count", int64(q.count))
	if q.block >= 0 {
		args = append(args, "block", q.block.Milliseconds())
	}
	args = append(args, "streams", q.key, q.after.String())
	key := int8(len(args) - 2)
	if plainly {
		cmd := redis.NewXStreamSliceCmd(ctx, args...)
		cmd.SetFirstKeyPos(key)
		_ = to.Process(ctx, cmd) // the command carries its error
		return func() ([]rawEntry, error) { return decodedEntries(cmd.Result()) }
	}
	cmd := redis.NewRawCmd(ctx, args...)
	cmd.SetFirstKeyPos(key)
	_ = to.Process(ctx, cmd) // the command carries its error
	return func() ([]rawEntry, error) {
		raw, err := cmd.Result()
		if err != nil {
			return nil, err
		}
		//nolint:gosec // the reply is ours alone, and nobody changes it
		return parseReply(unsafe.String(unsafe.SliceData(raw), len(raw)))
	}
}

func decodedEntries(streams []redis.XStream, err error) ([]rawEntry, error) {
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil || len(streams) == 0 {
		return nil, err
	}
	entries := make([]rawEntry, len(streams[0].Messages))
	for i, message := range streams[0].Messages {
		if entries[i], err = rawEntryOf(message); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

var (
	errRefused = errors.New("adapter: Redis refused the read")
	errReply   = errors.New("adapter: not a reply to XREAD")
)

// parseReply reads the reply to an XREAD of one stream, in RESP 2 or 3.
func parseReply(raw string) ([]rawEntry, error) {
	p := resp{rest: raw}
	kind, streams := p.head()
	switch {
	case kind == '-' || kind == '!':
		return nil, errRefused
	case kind == '_' || (kind == '*' || kind == '$') && streams == -1:
		return nil, nil
	case kind == '*' && streams == 1:
		p.array(2)
	case kind == '%' && streams == 1:
	default:
		return nil, errReply
	}
	_ = p.text()
	n := p.array(-1)
	entries := make([]rawEntry, 0, min(n, len(p.rest)/minEntry))
	for range n {
		entries = append(entries, p.entry())
		if p.bad {
			break
		}
	}
	if p.bad || p.rest != "" {
		return nil, errReply
	}
	return entries, nil
}

// minEntry is less than the shortest entry takes.
const minEntry = 16

// resp walks over a reply. Once it is bad it yields nothing any more.
type resp struct {
	rest string
	bad  bool
}

// head takes what begins a value: its kind, and the length that follows.
func (p *resp) head() (kind byte, n int) {
	line, rest, found := strings.Cut(p.rest, "\r\n")
	if !found || line == "" || p.bad {
		p.bad, p.rest = true, ""
		return 0, 0
	}
	p.rest = rest
	if line[0] == '-' || line[0] == '_' || line[0] == '!' {
		return line[0], 0
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < -1 {
		p.bad = true
	}
	return line[0], n
}

// array takes the head of an array of want items, of any number if that is negative.
func (p *resp) array(want int) int {
	kind, n := p.head()
	if p.bad || kind != '*' || n < 0 || want >= 0 && n != want {
		p.bad = true
		return 0
	}
	return n
}

func (p *resp) text() string {
	kind, n := p.head()
	if p.bad || kind != '$' || n < 0 || n > len(p.rest)-2 || p.rest[n:n+2] != "\r\n" {
		p.bad = true
		return ""
	}
	text := p.rest[:n]
	p.rest = p.rest[n+2:]
	return text
}

func (p *resp) entry() rawEntry {
	p.array(2)
	id, err := parseStreamID(p.text())
	if err != nil {
		p.bad = true
	}
	e := rawEntry{id: id}
	n := p.array(-1)
	if n%2 != 0 {
		p.bad = true
	}
	for i := 0; i < n && !p.bad; i += 2 {
		field := p.text()
		e.set(field, p.text())
	}
	return e
}
