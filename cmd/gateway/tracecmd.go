package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/api/admin"
)

type traceCmd struct {
	ID      string        `arg:""                                                                                                help:"The publisher's event_id, or the id of the entry in the event stream or the dead letters."`
	URL     string        `help:"A node's address, as https://host:port; this machine's METRICS_PORT, or else PORT, if not set." placeholder:"URL"`
	Timeout time.Duration `default:"15s"                                                                                         help:"How long to wait for the answer."`
	JSON    bool          `help:"Print JSON."`
}

// Help is shown below the flags.
func (*traceCmd) Help() string {
	return "Asks the admin API of a node, which asks the others. An event that is not found is a failure. " + (*adminCmd)(nil).Help()
}

// Run prints what became of the event.
func (c *traceCmd) Run(ctx context.Context, a *app) error {
	var raw json.RawMessage
	asking := &adminCmd{URL: c.URL, Timeout: c.Timeout}
	if err := asking.call(ctx, a, adminRequest{http.MethodGet, []string{"trace", c.ID}, nil, &raw}); err != nil {
		return err
	}
	var t admin.Trace
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("the answer is no trace: %w", err)
	}
	var err error
	if c.JSON {
		_, err = fmt.Fprintln(a.stdout, strings.TrimSpace(string(raw)))
	} else {
		_, err = io.WriteString(a.stdout, traceText(&t))
	}
	if err == nil && t.Verdict == admin.VerdictNotFound {
		return errReported
	}
	return err
}

// verdicts say in a sentence what the words mean.
var verdicts = map[string]string{
	admin.VerdictDelivered: "delivered",
	admin.VerdictPartly:    "delivered to some, not to others",
	admin.VerdictNobody:    "relayed; nobody it was for was connected, or has come back for it",
	admin.VerdictCaughtUp:  "its receivers were away, and got it when they came back",
	admin.VerdictDropped:   "the connections it was for ended before it was written",
	admin.VerdictUnread:    "in the event stream, and no node has read it",
	admin.VerdictPending:   "read by a node, and not settled",
	admin.VerdictDead:      "a dead letter",
	admin.VerdictUnknown:   "relayed; whom it reached cannot be told any more, or not by the nodes that answered",
	admin.VerdictNotFound:  "not found",
}

func traceText(t *admin.Trace) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", oneLine(name), oneLine(fmt.Sprintf(format, args...)))
	}
	line(t.ID, "%s", verdicts[t.Verdict])
	writeOrigin(line, t)
	for _, d := range t.Dead {
		line("dead", "letter %s, %s by %s after %d deliveries: %s %s", d.ID, stamp(d.At), d.Node, d.Deliveries, d.Reason, d.Detail)
	}
	if w := t.Waiting; w != nil {
		text := "event stream, " + w.Place
		if w.Holder != "" {
			text += fmt.Sprintf(", %s has had it for %.1f s, delivery %d", w.Holder, w.IdleSecs, w.Deliveries)
		}
		line("in", "%s %s", text, w.Fault)
	}
	if t.Log != nil {
		line("relayed", "%s by %s, log %s", stamp(t.Log.At), t.Log.Relay, t.Log.ID)
	}
	for _, r := range t.Rooms {
		line("room", "%s: %s", r.Room, r.Rule)
	}
	for i := range t.Nodes {
		line("node", "%s", nodeText(t, &t.Nodes[i]))
	}
	for _, n := range t.Silent {
		line("node", "%s did not answer", n)
	}
	for _, u := range t.Users {
		writeUser(line, u)
	}
	if t.MoreUsers > 0 {
		line("user", "%d more", t.MoreUsers)
	}
	if t.Verdict == admin.VerdictNotFound || t.Verdict == admin.VerdictUnknown {
		for _, s := range t.Searched {
			line("searched", "%s", place(s))
		}
	}
	return b.String()
}

func writeOrigin(line func(name, format string, args ...any), t *admin.Trace) {
	if t.Event != "" || t.EventID != "" {
		line("event", "%s %s", t.Event, t.EventID)
	}
	if t.Source != "" {
		line("came", "%s as %s", stamp(t.AddedAt), t.Source)
	}
	if !t.OccurredAt.IsZero() {
		line("occurred", "%s", stamp(t.OccurredAt))
	}
	if t.ReplayedFrom != "" {
		line("replayed", "from dead letter %s", t.ReplayedFrom)
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func nodeText(t *admin.Trace, n *admin.TraceNode) string {
	text := n.Node + " "
	switch {
	case n.Remembers:
		text += fmt.Sprintf("%d sockets", n.Sockets)
	case t.Log != nil && n.Since.After(t.Log.At):
		text += "remembers nothing before " + stamp(n.Since)
	default:
		text += "did not deliver it"
	}
	if n.Derived {
		text += ", of which below only some that are still there"
	}
	if n.CaughtUp > 0 {
		text += fmt.Sprintf(", %d caught up", n.CaughtUp)
	}
	return text
}

func writeUser(line func(name, format string, args ...any), u admin.TraceUser) {
	name := u.User
	if name == "" {
		name = "(not known)"
	}
	line("user", "%s %s", name, u.Outcome)
	for _, s := range u.Sockets {
		text := fmt.Sprintf("  %s %s on %s %s", stamp(s.At), s.Outcome, s.Node, s.Socket)
		if s.CaughtUp {
			text += ", when it came back"
		}
		if !s.Gone.IsZero() {
			text += ", gone " + stamp(s.Gone)
		}
		if s.Why != "" {
			text += " (" + s.Why + ")"
		}
		line("", "%s", text)
	}
}
