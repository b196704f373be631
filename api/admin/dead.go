package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Bounds of requests about dead letters.
const (
	listDead    = 100  // letters on a page, if not said
	mostDead    = 1000 // on a page, and replayed or dropped by one request
	mostDeadIDs = 1000 // named in one request
)

var entryID = regexp.MustCompile(`^[0-9]{1,20}-[0-9]{1,20}$`)

// DeadLetters are the events that could not be relayed.
type DeadLetters interface {
	// Letters returns a page without the letters' fields.
	Letters(ctx context.Context, f DeadFilter) (DeadPage, error)
	// Letter returns a letter with its fields, or ErrNoLetter.
	Letter(ctx context.Context, id string) (DeadLetter, error)
	// Replay writes letters to the event stream again, the oldest first. Repeating a call replays each once.
	Replay(ctx context.Context, s DeadSelection) (DeadReplayed, error)
	// Drop removes letters for good.
	Drop(ctx context.Context, s DeadSelection) (DeadDropped, error)
}

// DeadFilter chooses dead letters; its fields at their zero value choose nothing in particular.
type DeadFilter struct {
	Reason, Event string
	// Since is inclusive and Until exclusive, by the clock of Redis.
	Since, Until time.Time
	// After is the id of the last letter before, or empty.
	After string
	// Limit is 1 to 1,000.
	Limit int
	// Newest turns the order of a page round.
	Newest bool
}

// DeadSelection is what an action is for: the letters of IDs, if there are any, or those of Filter.
type DeadSelection struct {
	IDs    []string
	Filter DeadFilter
}

// DeadLetter is one dead letter. What is not known is left out.
type DeadLetter struct {
	ID           string      `json:"id"`
	At           time.Time   `json:"at"` // by the clock of Redis
	Reason       string      `json:"reason"`
	Detail       string      `json:"detail,omitempty"`
	Event        string      `json:"event,omitempty"`
	EventID      string      `json:"event_id,omitempty"`
	SourceID     string      `json:"source_id,omitempty"` // of the entry in the event stream
	Node         string      `json:"node,omitempty"`
	Deliveries   int64       `json:"deliveries"`
	ReplayedFrom string      `json:"replayed_from,omitempty"`
	Size         int         `json:"size"`  // bytes of the entry's fields that were kept
	Whole        bool        `json:"whole"` // only then it can be replayed
	Fields       []DeadField `json:"fields,omitempty"`
}

// DeadField is one field of the entry. What is not UTF-8 in it is replaced by U+FFFD.
type DeadField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// DeadPage is a page of dead letters.
type DeadPage struct {
	Letters []DeadLetter `json:"letters"`
	Next    string       `json:"next,omitempty"` // the after of the next page, if there is one
	Total   int64        `json:"total"`          // of all dead letters, whatever the filter
}

// DeadReplayed is what became of a selection. What was refused or already relayed is a dead letter still.
type DeadReplayed struct {
	Replayed       int        `json:"replayed"`
	Gone           int        `json:"gone"`            // no dead letters any more
	Refused        int        `json:"refused"`         // cut when they died
	AlreadyRelayed int        `json:"already_relayed"` // their event_id was relayed since
	Kept           []DeadKept `json:"kept,omitempty"`  // the first of those two kinds
	Next           string     `json:"next,omitempty"`  // the after of what is left, if there is anything
}

// DeadKept is a letter that was not replayed, and why.
type DeadKept struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// DeadDropped is what became of a selection.
type DeadDropped struct {
	Dropped int    `json:"dropped"`
	Gone    int    `json:"gone"`
	Next    string `json:"next,omitempty"`
}

func (s *server) deadRoutes() []route {
	return []route{
		{http.MethodGet, "/admin/dead", s.timed(s.deadLetters)},
		{http.MethodGet, "/admin/dead/{letter}", s.timed(s.deadLetter)},
		{http.MethodPost, "/admin/dead/replay", s.timed(s.deadReplay)},
		{http.MethodPost, "/admin/dead/drop", s.timed(s.deadDrop)},
	}
}

func (s *server) deadLetters(r *http.Request) (reply, error) {
	f, err := deadQuery(r)
	if err != nil {
		return reply{}, err
	}
	page, err := s.deps.Dead.Letters(r.Context(), f)
	if err != nil {
		return reply{}, fmt.Errorf("listing dead letters: %w", err)
	}
	page.Letters = append([]DeadLetter{}, page.Letters...) // not null
	return reply{http.StatusOK, page}, nil
}

func (s *server) deadLetter(r *http.Request) (reply, error) {
	id := r.PathValue("letter")
	if !entryID.MatchString(id) {
		return reply{}, fmt.Errorf("%w: the letter in the path is no id of an entry", ErrInvalid)
	}
	letter, err := s.deps.Dead.Letter(r.Context(), id)
	if err != nil {
		return reply{}, fmt.Errorf("reading a dead letter: %w", err)
	}
	return reply{http.StatusOK, letter}, nil
}

func (s *server) deadReplay(r *http.Request) (reply, error) {
	chosen, err := deadSelection(r)
	if err != nil {
		return reply{}, err
	}
	sum, err := s.deps.Dead.Replay(r.Context(), chosen)
	if err := s.done(r, err, "replay", "dead letters", "replayed", sum.Replayed); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, sum}, nil
}

func (s *server) deadDrop(r *http.Request) (reply, error) {
	chosen, err := deadSelection(r)
	if err != nil {
		return reply{}, err
	}
	sum, err := s.deps.Dead.Drop(r.Context(), chosen)
	if err := s.done(r, err, "drop", "dead letters", "dropped", sum.Dropped); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, sum}, nil
}

// deadQuery reads the filter of a list.
func deadQuery(r *http.Request) (DeadFilter, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return DeadFilter{}, fmt.Errorf("%w: the query cannot be read", ErrInvalid)
	}
	f := DeadFilter{Limit: listDead}
	for name, values := range query {
		value := values[0]
		bad := len(values) > 1
		switch name {
		case "reason":
			f.Reason = value
		case "event":
			f.Event = value
		case "after":
			f.After = value
		case "since":
			bad = bad || !readTime(value, &f.Since)
		case "until":
			bad = bad || !readTime(value, &f.Until)
		case "limit":
			f.Limit, err = strconv.Atoi(value)
			bad = bad || err != nil
		case "order":
			f.Newest = value == "newest"
			bad = bad || !f.Newest && value != "oldest"
		default:
			return DeadFilter{}, fmt.Errorf("%w: %.64q is no parameter of this", ErrInvalid, name)
		}
		if bad || value == "" {
			return DeadFilter{}, fmt.Errorf("%w: %s is there twice or not of its form", ErrInvalid, name)
		}
	}
	return f, f.check()
}

func readTime(text string, into *time.Time) bool {
	t, err := time.Parse(time.RFC3339, text)
	*into = t
	return err == nil
}

func (f DeadFilter) check() error {
	switch {
	case f.Limit < 1 || f.Limit > mostDead:
		return fmt.Errorf("%w: limit is %d, want 1 to %d", ErrInvalid, f.Limit, mostDead)
	case f.After != "" && !entryID.MatchString(f.After):
		return fmt.Errorf("%w: after is no id of an entry", ErrInvalid)
	case f.Reason != "" && !validID(f.Reason), f.Event != "" && !validID(f.Event):
		return fmt.Errorf("%w: reason or event has not %s", ErrInvalid, idForm)
	}
	return nil
}

// deadSelection reads a body that names letters, a filter, or all: nothing at all would be all by mistake.
func deadSelection(r *http.Request) (DeadSelection, error) {
	var c DeadSelection
	var all bool
	var since, until moment
	c.Filter.Limit = mostDead
	given, err := fields{
		"ids": &c.IDs, "all": &all, "reason": &c.Filter.Reason, "event": &c.Filter.Event, "since": &since, "until": &until,
		"after": &c.Filter.After, "limit": &c.Filter.Limit,
	}.read(r)
	if err != nil {
		return DeadSelection{}, err
	}
	c.Filter.Since, c.Filter.Until = since.Time, until.Time
	filtered := false
	for _, name := range []string{"reason", "event", "since", "until"} {
		filtered = filtered || given.has(name)
	}
	switch {
	case given.has("ids") && len(given) > 1:
		return DeadSelection{}, fmt.Errorf("%w: ids stands alone", ErrInvalid)
	case given.has("ids") && (len(c.IDs) == 0 || len(c.IDs) > mostDeadIDs):
		return DeadSelection{}, fmt.Errorf("%w: %d ids, want 1 to %d", ErrInvalid, len(c.IDs), mostDeadIDs)
	case !given.has("ids") && all == filtered:
		return DeadSelection{}, fmt.Errorf("%w: want ids, a filter (reason, event, since, until), or all", ErrInvalid)
	case given.has("reason") && c.Filter.Reason == "", given.has("event") && c.Filter.Event == "":
		return DeadSelection{}, fmt.Errorf("%w: reason or event is empty", ErrInvalid)
	}
	for _, id := range c.IDs {
		if !entryID.MatchString(id) {
			return DeadSelection{}, fmt.Errorf("%w: %.64q is no id of an entry", ErrInvalid, id)
		}
	}
	return c, c.Filter.check()
}
