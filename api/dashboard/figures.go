package dashboard

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"time"
)

// Roles and Kinds are the roles and the kinds of events that the charts show, in their order.
var (
	Roles = []string{"client", "advisor", "admin"}
	Kinds = []string{"solicitud", "oferta", "evaluacion", "notificacion"}
)

// Figures are those of one node at a moment. Times are unix milliseconds; counters are since the node's start.
type Figures struct {
	Name     string `json:"name"`
	Identity string `json:"identity"` // of the process
	Version  string `json:"version"`
	Started  int64  `json:"started"`
	At       int64  `json:"at"`

	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons,omitempty"` // why not
	Draining bool     `json:"draining,omitempty"`

	Connections map[string]int64 `json:"connections"` // sockets by role
	Polling     int              `json:"polling"`
	WebSocket   int              `json:"websocket"`

	Events     map[string]uint64 `json:"events"` // routed here, by kind
	Deliveries uint64            `json:"deliveries"`
	Latency    Latency           `json:"latency"`
	// Position is the time of the last log entry that was delivered, by Redis' clock; 0: none.
	Position int64 `json:"position"`
	// Backlog is how many events this node has read and not committed.
	Backlog int `json:"backlog"`

	Refused map[string]uint64 `json:"refused,omitempty"` // connects, requests and events, by reason
	Dead    map[string]uint64 `json:"dead,omitempty"`    // events that became dead letters here, by reason
	// RefusedLately and DeadLately are those of the last Config.Window; filled in here.
	RefusedLately map[string]uint64 `json:"refused_lately,omitempty"`
	DeadLately    map[string]uint64 `json:"dead_lately,omitempty"`

	Recovered    uint64 `json:"recovered"`
	NotRecovered uint64 `json:"not_recovered"`
}

// Latency is the time from an event's writing to its being handed to the sockets, in the last minute. Milliseconds.
type Latency struct {
	Count uint64  `json:"count"` // 0: nothing was measured
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// Member is a node that the cluster counts as living.
type Member struct {
	Name, Identity, Version string
}

// Cluster is what only Redis knows.
type Cluster struct {
	// Users are the distinct ones by role.
	Users map[string]int64
	// Members are the living nodes.
	Members []Member
	// Unread is how many events nobody has read yet; -1: not known.
	Unread int64
	// Pending is how many events were read and not committed, and Waiting how long the oldest event not committed has been
	// there, ms.
	Pending, Waiting int64
	// LogEnd is the time of the log's newest entry, unix ms; 0: none.
	LogEnd int64
	// DeadLetters is how many are open.
	DeadLetters int64
}

// Deps are what the page is made of; Dead and Assets may be nil. All may be called from many goroutines, and what takes
// a context must return soon after it ends.
type Deps struct {
	// Figures takes this node's.
	Figures func() Figures
	// Ask asks all other nodes a question, which they answer by Page.Answer; some answers may be missing, with an error.
	Ask func(ctx context.Context, question string) (answers [][]byte, err error)
	// Members reads the living nodes.
	Members func(ctx context.Context) ([]Member, error)
	// Cluster reads all that Redis knows.
	Cluster func(ctx context.Context) (Cluster, error)
	// Dead looks into the dead letters; nil: the page cannot.
	Dead DeadLetters
	// Assets is the built page; nil: it was not built.
	Assets fs.FS
	// ClientAddr says who asks, behind trusted proxies too. All whom it has no address for count as one.
	ClientAddr func(*http.Request) netip.Addr
	Log        *slog.Logger
}

func ms(t time.Time) int64 { return t.UnixMilli() }
