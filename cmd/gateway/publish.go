package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/streams"
)

// Bounds of publishing.
const (
	publishBatch   = 256
	publishBytes   = 1 << 20               // of data in one batch
	publishLinger  = 50 * time.Millisecond // how long an unfilled batch waits for more input
	publishMaxLine = 256 << 10             // bytes; data has at most 64 KiB
	publishTimeout = 10 * time.Second      // for one batch
	publishReports = 20                    // bad lines that are described; the others are only counted
)

type publishCmd struct {
	Event   string   `help:"Event name."                                                                                              placeholder:"NAME"`
	Data    string   `default:"{}"                                                                                                    help:"Event data, a JSON object." placeholder:"JSON"`
	Rooms   []string `help:"Rooms, comma-separated, in place of the routing table."                                                   placeholder:"ROOM"`
	EventID string   `help:"Idempotency key: a repeated one is relayed once."                                                         name:"event-id"                   placeholder:"ID"`
	File    string   `help:"File of events, one JSON object a line; - is standard input, which is read as well if no event is named." placeholder:"FILE"`
}

// Run writes the event of the flags, or those of the file or of standard input. A line that is not an event is
// reported with its number, is not sent, and makes the command fail; the others are sent.
func (p *publishCmd) Run(ctx context.Context, a *app) error {
	c, err := a.config("REDIS_", "JWT_ROLES")
	if err != nil {
		return err
	}
	if p.Event != "" && p.File != "" {
		return errors.New("--event and --file exclude each other")
	}
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	s := &sending{
		publisher: c.newPublisher(client),
		router:    node.NewRouter(c.JWTRoles),
		say:       a.say,
		place:     c.RedisPrefix + ":events on " + c.redisPlace(),
	}
	if p.Event != "" {
		return s.one(ctx, a.stdout, p.fields())
	}
	input, size, err := p.open(a)
	if err != nil {
		return err
	}
	defer func() { _ = input.Close() }()
	s.progress = newProgress(a.stderr, size, isTerminal(a.stderr))
	return s.all(ctx, a.stdout, input)
}

func (p *publishCmd) fields() map[string]any {
	fields := fieldsOf(p.Event, p.Data, p.Rooms)
	if p.EventID != "" {
		fields["event_id"] = p.EventID
	}
	return fields
}

// open returns the input and its size in bytes, -1 if unknown.
func (p *publishCmd) open(a *app) (io.ReadCloser, int64, error) {
	if p.File == "" || p.File == "-" {
		return io.NopCloser(a.stdin), -1, nil
	}
	f, err := os.Open(p.File)
	if err != nil {
		return nil, 0, fmt.Errorf("--file: %w", err)
	}
	size := int64(-1)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// sending is one run of publish. It is used by one goroutine.
type sending struct {
	publisher *streams.Publisher
	router    *node.Router
	progress  *progress
	say       func(string)
	place     string

	batch       []streams.Event
	batchBytes  int
	first, last int // lines of the batch

	sent, rejected int
}

// line is one line of input, without its end.
type line struct {
	number int
	text   []byte
	read   int // bytes taken from the input
	long   bool
}

// parse is the validation that the cluster would do, so that nothing known to be a dead letter is sent.
func (s *sending) parse(fields map[string]any) (streams.Event, error) {
	event, err := streams.ParseEntry("0-1", fields)
	if err != nil {
		return event, err
	}
	_, _, err = s.router.Route(event)
	return event, err
}

// one sends a single event and prints its id.
func (s *sending) one(ctx context.Context, out io.Writer, fields map[string]any) error {
	event, err := s.parse(fields)
	if err != nil {
		return err
	}
	event.ID = ""
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ids, err := s.publisher.Publish(ctx, event)
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", s.place, err)
	}
	_, err = fmt.Fprintln(out, ids[0])
	return err
}

// all sends the lines of the input and prints a summary.
func (s *sending) all(ctx context.Context, out io.Writer, input io.Reader) error {
	start := time.Now()
	err := s.stream(ctx, input)
	s.progress.finish()
	took := time.Since(start)
	_, sayErr := fmt.Fprintf(out, "published %d, rejected %d, in %s (%.0f/s) to %s\n",
		s.sent, s.rejected, took.Round(time.Millisecond), float64(s.sent)/max(took.Seconds(), 1e-9), s.place)
	switch {
	case err != nil:
		return err
	case sayErr != nil:
		return sayErr
	case s.rejected > publishReports:
		return fmt.Errorf("%d lines are no events, %d of them not shown", s.rejected, s.rejected-publishReports)
	case s.rejected > 0:
		return errReported
	default:
		return nil
	}
}

// stream sends batches as they fill, or when the input pauses.
func (s *sending) stream(ctx context.Context, input io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan line, publishBatch)
	ended := make(chan error, 1)
	// A read of standard input cannot be interrupted, so this goroutine is not waited for when ctx ends: the process
	// ends then too.
	go func() { ended <- readLines(ctx, input, lines) }()

	linger := time.NewTimer(publishLinger)
	defer linger.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped: %w", context.Cause(ctx))
		case l, more := <-lines:
			if !more && ctx.Err() != nil { // the reader may notice first
				return fmt.Errorf("stopped: %w", context.Cause(ctx))
			}
			if !more {
				return errors.Join(s.flush(ctx), <-ended)
			}
			if len(s.batch) == 0 {
				linger.Reset(publishLinger)
			}
			if err := s.add(ctx, l); err != nil {
				return err
			}
		case <-linger.C:
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// add puts a line's event into the batch and sends the batch when it is full.
func (s *sending) add(ctx context.Context, l line) error {
	defer s.progress.add(l.read)
	text := bytes.TrimSpace(l.text)
	if len(text) == 0 && !l.long {
		return nil
	}
	event, err := streams.Event{}, fmt.Errorf("has more than %d bytes", publishMaxLine)
	if !l.long {
		event, err = s.parse(map[string]any{"payload": string(text)})
	}
	if err != nil {
		s.reject(l.number, err)
		return nil
	}
	event.ID = ""
	if len(s.batch) > 0 && s.batchBytes+len(event.Data) > publishBytes {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	if len(s.batch) == 0 {
		s.first = l.number
	}
	s.batch, s.batchBytes, s.last = append(s.batch, event), s.batchBytes+len(event.Data), l.number
	if len(s.batch) >= publishBatch {
		return s.flush(ctx)
	}
	return nil
}

func (s *sending) reject(number int, err error) {
	s.rejected++
	if s.rejected <= publishReports {
		s.progress.clear()
		s.say(fmt.Sprintf("line %d: %v", number, err))
	}
}

// flush sends the batch. It is not repeated on an error, since an entry whose answer was lost may be in the stream.
func (s *sending) flush(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	ids, err := s.publisher.Publish(ctx, s.batch...)
	for _, id := range ids {
		if id != "" {
			s.sent++
		}
	}
	if err != nil {
		return fmt.Errorf("lines %d to %d, which may be written in part, to %s: %w", s.first, s.last, s.place, err)
	}
	s.batch, s.batchBytes = s.batch[:0], 0
	return nil
}

// readLines sends the input's lines and closes the channel at its end. Of a line over the limit it keeps nothing.
func readLines(ctx context.Context, input io.Reader, lines chan<- line) error {
	defer close(lines)
	r := bufio.NewReaderSize(input, 64<<10)
	for number := 1; ; number++ {
		l, err := readLine(r)
		l.number = number
		if l.read > 0 {
			select {
			case lines <- l:
			case <-ctx.Done():
				return nil
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading line %d: %w", number, err)
		}
	}
}

func readLine(r *bufio.Reader) (line, error) {
	var l line
	for {
		part, err := r.ReadSlice('\n')
		l.read += len(part)
		if l.read > publishMaxLine {
			l.long, l.text = true, nil
		} else {
			l.text = append(l.text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}
