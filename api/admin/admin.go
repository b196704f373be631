// Package admin serves the operators' HTTP API below /admin/: publish an event, list and disconnect a user's sockets,
// revoke, grant, withdraw, drain, look into dead letters, trace an event, change the log level. It owns who may ask, the form of requests and answers, the OpenAPI document that
// describes them and the line in the log that each change leaves. It never talks to Redis or sockets itself: what it is
// given does. Neither the key nor what is reported in errors ever reaches a client, and the key never a log.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/teloo/realtime-gateway/api"
)

// Publisher writes events as the Core API does.
type Publisher interface {
	// Publish writes one event of the contract's flat fields (event, data and, if given, rooms, event_id, occurred_at,
	// traceparent) and returns its id. An event that would be a dead letter is ErrInvalid, and nothing is written.
	Publish(ctx context.Context, fields map[string]string) (id string, err error)
}

// Sockets knows the sockets of the whole cluster.
type Sockets interface {
	// Disconnect closes all sockets of a user, ends their sessions and returns how many there were.
	Disconnect(ctx context.Context, user string) (n int, err error)
	// Sockets returns a user's sockets, in any order.
	Sockets(ctx context.Context, user string) ([]Socket, error)
}

// Revoker refuses tokens from now on, on all nodes, and closes what they have opened. Repeating a call is harmless.
type Revoker interface {
	// RevokeToken refuses the token with that jti. expires is its exp; zero: unknown.
	RevokeToken(ctx context.Context, jti string, expires time.Time) error
	// RevokeUser refuses all tokens that a user was issued up to now.
	RevokeUser(ctx context.Context, user string) error
	// RevokeUserBefore refuses those issued at t or earlier.
	RevokeUserBefore(ctx context.Context, user string, t time.Time) error
}

// Granter lets users into solicitudes' rooms and takes them out. Repeating a call is harmless.
type Granter interface {
	// Grant lets user subscribe to solicitud for ttl; zero: for as long as an event's grant lasts.
	Grant(ctx context.Context, solicitud, user string, ttl time.Duration) error
	// Withdraw takes the grant back, if there is one, and the user's sockets out of the room, on all nodes.
	Withdraw(ctx context.Context, solicitud, user string) error
}

// Drainer makes this node, and no other, send its clients away.
type Drainer interface {
	// Drain begins to drain and does not wait for the end. Further calls do nothing.
	Drain()
}

// Socket is one connected socket of a user. Fields at their zero value are unknown and left out of the answer.
type Socket struct {
	ID           string    `json:"id"`
	Node         string    `json:"node"`
	Role         string    `json:"role,omitempty"`
	Transport    string    `json:"transport,omitempty"` // "polling" or "websocket"
	Address      string    `json:"address,omitempty"`   // the client's
	ConnectedAt  time.Time `json:"connected_at,omitzero"`
	TokenExpires time.Time `json:"token_expires,omitzero"`
	Rooms        []string  `json:"rooms,omitempty"`
}

// Deps is what the API acts through. All may be called from many goroutines; what takes a context must return soon
// after it ends. An error that wraps ErrInvalid or ErrUnavailable is answered as those say.
type Deps struct {
	Publisher Publisher
	Sockets   Sockets
	Revoker   Revoker
	Granter   Granter
	Drainer   Drainer
	Tracer    Tracer
	Dead      DeadLetters
	// LogLevels is asked about /admin/log-level. Nil: there is no such path.
	LogLevels LogLevels
	// ClientAddr says who asks, behind trusted proxies too. Nil: the connection's peer. All whom it has no address for
	// (the invalid Addr) count as one.
	ClientAddr func(*http.Request) netip.Addr
	// Log gets a line for each change and refused key. Nil: none.
	Log *slog.Logger
}

func (d Deps) validate() error {
	var faults []error
	for _, f := range []struct {
		name  string
		value any
	}{
		{"Publisher", d.Publisher},
		{"Sockets", d.Sockets},
		{"Revoker", d.Revoker},
		{"Granter", d.Granter},
		{"Drainer", d.Drainer},
		{"Tracer", d.Tracer},
		{"Dead", d.Dead},
	} {
		if v := reflect.ValueOf(f.value); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
			faults = append(faults, fmt.Errorf("admin: no %s", f.name))
		}
	}
	return errors.Join(faults...)
}

func (d Deps) withDefaults() Deps {
	if d.ClientAddr == nil {
		d.ClientAddr = peer
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	d.Log = d.Log.With("component", "admin")
	return d
}

// peer is the address of the connection, invalid if there is none.
func peer(r *http.Request) netip.Addr {
	hostport, _ := netip.ParseAddrPort(r.RemoteAddr)
	return hostport.Addr()
}

type server struct {
	cfg  Config
	deps Deps
	key  *api.KeyCheck
	log  *slog.Logger
}

// New returns the handler of all paths below /admin/, which it expects unshortened. Fields of cfg left at zero take
// DefaultConfig's values. The handler starts no goroutine and holds nothing to be closed.
func New(cfg Config, deps Deps) (http.Handler, error) {
	cfg = cfg.withDefaults()
	if err := errors.Join(cfg.Validate(), deps.validate()); err != nil {
		return nil, err
	}
	deps = deps.withDefaults()
	s := &server{cfg: cfg, deps: deps, key: api.NewKeyCheck(cfg.Key, cfg.MaxFailures, cfg.MaxAddresses), log: deps.Log}
	return api.Guard(s.authenticated(s.mux()), s.cfg.MaxBody, s.fail), nil
}
