package adapter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// mostReceivers is how many receivers a node names at most.
const mostReceivers = 64

// What became of an event on its way to a socket.
const (
	// StateWritten: the kernel, or the answer to a poll, took it.
	StateWritten = "written"
	// StateQueued: it waits for its connection.
	StateQueued = "queued"
	// StateDropped: the connection ended first, or refused it.
	StateDropped = "dropped"
	// StateUnknown: the node does not remember, or the connection does not tell.
	StateUnknown = "unknown"
)

// Inquiry asks the nodes what became of an entry of the log.
type Inquiry struct {
	// Entry is its id; "": it is known by its source only.
	Entry string `json:"entry,omitempty"`
	// Source is the event's id; "": it has none.
	Source string `json:"source,omitempty"`
	// Rooms and Except are the entry's, by which its live receivers are found if it had too many to be remembered.
	Rooms  []string `json:"rooms,omitempty"`
	Except []string `json:"except,omitempty"`
}

// Report is a node's answer.
type Report struct {
	// Node is its identity.
	Node string `json:"node"`
	// Since is from when on it remembers all that it delivered.
	Since time.Time `json:"since"`
	// Delivered says that it remembers the entry; At is when it delivered it, and Sockets to how many sockets.
	Delivered bool      `json:"delivered"`
	At        time.Time `json:"at,omitzero"`
	Sockets   int       `json:"sockets"`
	// Receivers are these sockets, or some of them; with Derived those that are still there and in its rooms.
	Receivers []Receiver `json:"receivers,omitempty"`
	Derived   bool       `json:"derived,omitempty"`
	// CaughtUp are the sockets that were sent it when they came back, of CaughtUpAll.
	CaughtUp    []Receiver `json:"caught_up,omitempty"`
	CaughtUpAll int        `json:"caught_up_all,omitempty"`
}

// Receiver is a socket that an entry was for.
type Receiver struct {
	User   string `json:"user,omitempty"`
	Socket string `json:"socket,omitempty"`
	State  string `json:"state"`
	// At is when the socket was sent it.
	At time.Time `json:"at,omitzero"`
	// Gone is when the socket ended, and Why a word on why its connection had; "": the socket was closed by this side.
	Gone time.Time `json:"gone,omitzero"`
	Why  string    `json:"why,omitempty"`
}

// Inquire asks all gateways, until ctx ends and at most Config.RequestTimeout. silent are the identities of those that did
// not answer. The error says that not even that could be found out; this node's own report is there all the same.
func (c *Cluster) Inquire(ctx context.Context, nsp string, q Inquiry) (reports []Report, silent []string, err error) {
	a := c.adapterOf(nsp)
	if a == nil {
		return nil, nil, fmt.Errorf("adapter: no namespace %q", nsp)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.RequestTimeout)
	defer cancel()
	reports = []Report{a.report(q)}
	members, err := a.members(ctx)
	members = gatewaysOf(members)
	if err != nil || len(members) == 0 {
		return reports, nil, err
	}
	question, err := json.Marshal(q)
	if err != nil {
		return reports, members, err
	}
	var mu sync.Mutex
	id := newRequestID()
	waiting := &request{each: func(m message) {
		var r Report
		text, _ := m.data["report"].(string)
		if json.Unmarshal([]byte(text), &r) != nil {
			return // it is among the silent then
		}
		r.Node = m.uid
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, r)
	}}
	c.peers.begin(id, members, waiting)
	if err := c.peers.ask(ctx, a.message(typeInquiry, id, map[string]any{"question": string(question)})); err != nil {
		c.peers.end(id)
		return reports, members, err
	}
	_ = c.peers.wait(id, waiting, remaining(ctx)) // who did not answer is named
	mu.Lock()
	defer mu.Unlock()
	told := slices.Clone(reports)
	silent = slices.DeleteFunc(members, func(uid string) bool {
		return slices.ContainsFunc(told, func(r Report) bool { return r.Node == uid })
	})
	slices.Sort(silent)
	return told, silent, nil
}

func (a *nspAdapter) answerInquiry(m message) {
	var q Inquiry
	text, _ := m.data["question"].(string)
	if json.Unmarshal([]byte(text), &q) != nil {
		a.c.count.badMessages.Add(1)
		return
	}
	report, err := json.Marshal(a.report(q))
	if err != nil {
		return
	}
	a.c.inbox.respond(m, typeInquiryReply, map[string]any{"report": string(report)})
}

// report is what this node can tell.
func (a *nspAdapter) report(q Inquiry) Report {
	c := a.c
	r := Report{Node: c.cfg.UID, Since: time.Now()}
	if c.journal == nil {
		return r
	}
	id, source := idOf(q.Entry), idOf(q.Source)
	records, receipts := c.journal.deliveries.find(id, source)
	r.Since = laterOf(c.journal.began, c.journal.deliveries.since())
	if len(records) > 0 {
		// A second record of a source is of a log that lost its end.
		r.Delivered, r.At, r.Sockets = true, time.UnixMilli(records[0].at), int(records[0].sockets)
		id = records[0].id
	}
	_, replays := c.journal.replays.find(id, source)
	r.CaughtUpAll = len(replays)
	replays = replays[:min(len(replays), mostReceivers)]
	all := a.receivers(slices.Concat(receipts, replays))
	r.Receivers, r.CaughtUp = all[:len(receipts)], all[len(receipts):]
	if r.Sockets > len(receipts) && len(q.Rooms) > 0 {
		r.Receivers, r.Derived = a.derived(id, options{Rooms: q.Rooms, Except: q.Except}), true
	}
	return r
}

func idOf(text string) streamID {
	id, err := parseStreamID(text)
	if err != nil {
		return streamID{}
	}
	return id
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// receivers says who the receipts' members are and what became of their frames.
func (a *nspAdapter) receivers(receipts []receipt) []Receiver {
	wanted := make(map[uint64]struct{}, len(receipts))
	for _, r := range receipts {
		wanted[r.member] = struct{}{}
	}
	// Members first: who leaves meanwhile is in one of the two.
	live := make(map[uint64]*member, len(receipts))
	if len(wanted) > 0 {
		for _, m := range a.table.selected(options{}) {
			if _, ok := wanted[m.serial]; ok {
				live[m.serial] = m
			}
		}
	}
	gone := a.c.journal.departures.of(wanted)
	out := make([]Receiver, len(receipts))
	for i, r := range receipts {
		m := live[r.member]
		one, left := gone[r.member]
		switch {
		case left:
			out[i] = one.receiver(r)
		case m != nil:
			out[i] = a.present(m, r)
		default:
			out[i] = Receiver{State: StateUnknown}
		}
		out[i].At = time.UnixMilli(r.at)
	}
	return out
}

// receiver is what became of a frame for a socket that has gone.
func (d *departure) receiver(r receipt) Receiver {
	out := Receiver{User: d.user, Socket: d.sid, State: StateDropped, Gone: d.at, Why: d.why}
	switch {
	case r.frame == frameWaits, r.frame == frameRefused:
	case d.written == nil, r.frame == frameUncount:
		out.State = StateUnknown
	case d.written.Load() >= r.frame:
		out.State = StateWritten
	}
	return out
}

// present is what became of a frame for a socket that is there.
func (a *nspAdapter) present(m *member, r receipt) Receiver {
	out := Receiver{Socket: string(m.id), State: StateQueued}
	if user := m.user.Load(); user != nil {
		out.User = *user
	}
	conn := m.connection()
	switch {
	case r.frame == frameWaits:
	case r.frame == frameRefused:
		out.State = StateDropped
	case conn == nil || r.frame == frameUncount:
		out.State = StateUnknown
	case conn.Written().Load() >= r.frame:
		out.State = StateWritten
	case conn.Why() != "": // its end is being announced
		out.State, out.Why = StateDropped, conn.Why()
	}
	return out
}

// connection is the member's, nil if it has none that numbers frames.
func (m *member) connection() numberingWriter {
	s := m.sock.Load()
	if s == nil {
		return nil
	}
	conn, _ := s.Conn().(numberingWriter)
	return conn
}

// derived returns members that were sent an entry, as can be seen of them now, mostReceivers at most.
func (a *nspAdapter) derived(id streamID, o options) []Receiver {
	members := a.table.selected(o)
	served := make([]*member, 0, mostReceivers)
	a.c.deliverMu.Lock()
	for _, m := range members {
		if len(served) == mostReceivers {
			break
		}
		if m.served && m.floor.compare(id) < 0 && m.upTo.compare(id) >= 0 && m.inSince(id, o.Rooms) {
			served = append(served, m)
		}
	}
	a.c.deliverMu.Unlock()
	out := make([]Receiver, len(served))
	for i, m := range served {
		out[i] = Receiver{Socket: string(m.id), State: StateUnknown}
		if user := m.user.Load(); user != nil {
			out[i].User = *user
		}
		if conn := m.connection(); conn != nil && conn.Written().Load() >= conn.Added() {
			out[i].State = StateWritten
		}
	}
	return out
}

// inSince reports whether the member has been in one of the rooms since before an entry.
func (m *member) inSince(id streamID, rooms []string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(rooms, func(room string) bool {
		i := m.placeIn(socket.Room(room))
		return i >= 0 && m.rooms[i].since.compare(id) < 0
	})
}
