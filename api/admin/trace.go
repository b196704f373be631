package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Tracer finds out what became of an event.
type Tracer interface {
	// Trace looks for the event with this id, its publisher's or that of its entry in a stream. That it is not found is no
	// error.
	Trace(ctx context.Context, id string) (Trace, error)
}

// What became of an event, in one word.
const (
	VerdictDelivered = "delivered" // sockets were sent it, all that there were
	VerdictPartly    = "partly"    // some were; to others it did not come, or not yet
	VerdictNobody    = "nobody"    // nobody that it was for was connected, or came back for it
	VerdictCaughtUp  = "caught_up" // it reached only clients that had been away
	VerdictDropped   = "dropped"   // it was for sockets that ended before they were sent it
	VerdictUnread    = "unread"    // no node has read it from the event stream
	VerdictPending   = "pending"   // a node has read it, and not settled it
	VerdictDead      = "dead"      // it is a dead letter
	VerdictUnknown   = "unknown"   // it was relayed; the nodes that could tell more did not answer, or do not remember
	VerdictNotFound  = "not_found"
)

// What became of an event for one of its users; for a socket, the first four.
const (
	OutcomeWritten  = "written"
	OutcomeQueued   = "queued"
	OutcomeDropped  = "dropped"
	OutcomeUnknown  = "unknown"
	OutcomeCaughtUp = "caught_up"
	OutcomeAway     = "away"
)

// Trace is what became of an event. Fields at their zero value are unknown or do not apply, and are left out.
type Trace struct {
	ID      string `json:"id"` // as asked
	Verdict string `json:"verdict"`
	Event   string `json:"event,omitempty"`
	EventID string `json:"event_id,omitempty"`
	// Source is the id of its entry in the event stream, AddedAt when that was written.
	Source      string    `json:"source,omitempty"`
	AddedAt     time.Time `json:"added_at,omitzero"`
	OccurredAt  time.Time `json:"occurred_at,omitzero"`
	TraceParent string    `json:"traceparent,omitempty"`
	// ReplayedFrom is the id of the dead letter that it was.
	ReplayedFrom string        `json:"replayed_from,omitempty"`
	Waiting      *TraceWaiting `json:"waiting,omitempty"`
	Log          *TraceEntry   `json:"log,omitempty"`
	Rooms        []TraceRoom   `json:"rooms,omitempty"`
	Dead         []TraceDeath  `json:"dead,omitempty"`
	Nodes        []TraceNode   `json:"nodes,omitempty"`
	// Silent are nodes that were asked and did not answer.
	Silent []string `json:"silent,omitempty"`
	// Users are those that are known to be concerned, the first of them; MoreUsers is how many more.
	Users     []TraceUser `json:"users,omitempty"`
	MoreUsers int         `json:"more_users,omitempty"`
	// Searched says where was looked.
	Searched []TraceSearch `json:"searched"`
}

// TraceWaiting is the event's entry in the event stream.
type TraceWaiting struct {
	// Place is "unread", "pending" or "settled".
	Place      string  `json:"place"`
	Holder     string  `json:"holder,omitempty"` // the node that has it
	IdleSecs   float64 `json:"idle_seconds,omitempty"`
	Deliveries int64   `json:"deliveries,omitempty"` // how often nodes were given it
	Fault      string  `json:"fault,omitempty"`      // why it will be a dead letter
}

// TraceEntry is the event's entry in the log.
type TraceEntry struct {
	ID    string    `json:"id"`
	At    time.Time `json:"at"`
	Relay string    `json:"relay"` // the node that put it there
}

// TraceRoom is a room that the event went to, and the rule that chose it.
type TraceRoom struct {
	Room string `json:"room"`
	Rule string `json:"rule"`
}

// TraceDeath is a dead letter.
type TraceDeath struct {
	ID           string    `json:"id"`
	At           time.Time `json:"at,omitzero"`
	Source       string    `json:"source,omitempty"`
	Reason       string    `json:"reason"`
	Detail       string    `json:"detail,omitempty"`
	Node         string    `json:"node,omitempty"`
	Deliveries   int64     `json:"deliveries,omitempty"`
	ReplayedFrom string    `json:"replayed_from,omitempty"`
}

// TraceNode is what a node says.
type TraceNode struct {
	Node string `json:"node"`
	// Since is from when on it remembers its deliveries.
	Since time.Time `json:"since"`
	// Remembers says that it remembers this one; if not, and Since is after the log's entry, that means nothing.
	Remembers bool      `json:"remembers"`
	At        time.Time `json:"at,omitzero"`
	// Sockets is how many it handed the event to, CaughtUp how many were sent it when they came back.
	Sockets  int `json:"sockets"`
	CaughtUp int `json:"caught_up,omitempty"`
	// Derived says that there were too many to remember: who they were is seen from those that are still there.
	Derived bool `json:"derived,omitempty"`
}

// TraceUser is a user that the event was for.
type TraceUser struct {
	User    string        `json:"user,omitempty"`
	Outcome string        `json:"outcome"`
	Sockets []TraceSocket `json:"sockets,omitempty"`
}

// TraceSocket is one that the event was for.
type TraceSocket struct {
	Socket  string    `json:"socket,omitempty"`
	Node    string    `json:"node"`
	Outcome string    `json:"outcome"`
	At      time.Time `json:"at,omitzero"`
	// CaughtUp says that it was sent the event when its client came back.
	CaughtUp bool `json:"caught_up,omitempty"`
	// Gone is when the socket ended, and Why a word on why its connection had.
	Gone time.Time `json:"gone,omitzero"`
	Why  string    `json:"why,omitempty"`
}

// TraceSearch is a place where was looked: how many entries, and between which ids.
type TraceSearch struct {
	Where    string `json:"where"`
	Entries  int    `json:"entries"`
	Oldest   string `json:"oldest,omitempty"`
	Newest   string `json:"newest,omitempty"`
	Complete bool   `json:"complete"`
}

// trace answers also if nothing was found: where was looked is an answer.
func (s *server) trace(r *http.Request) (reply, error) {
	id, err := pathID(r, "event")
	if err != nil {
		return reply{}, err
	}
	found, err := s.deps.Tracer.Trace(r.Context(), id)
	if err != nil {
		return reply{}, fmt.Errorf("tracing an event: %w", err)
	}
	return reply{http.StatusOK, found}, nil
}
