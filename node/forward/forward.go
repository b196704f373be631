package forward

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sessions knows whose a session is. Its methods are safe for concurrent use and do not block.
type Sessions interface {
	// Own reports whether the id says that the session is this node's; it need not be authentic. It is asked of every
	// request.
	Own(sid string) bool
	// Owner returns where the node whose session that is serves HTTP, "host:port"; "" if no live node's it is. authentic is
	// false for an id that no node of the cluster has made, which costs no more to tell than a proof.
	Owner(sid string) (address string, authentic bool)
}

// Deps are what a Forwarder works with; all but Answer and Took are required.
type Deps struct {
	// Next serves this node's own sessions and handshakes, and refuses requests of sessions that it does not have.
	Next     http.Handler
	Sessions Sessions
	// Answer has a session's open poll answered by a packet that says nothing, so that the client asks anew; nil: the polls
	// that go through a draining node are not shortened. It does not block.
	Answer func(sid string)
	// Took is told how long a POST took that was passed on, until its answer; polls wait on purpose. nil: nobody is.
	Took func(time.Duration)
	Log  *slog.Logger
}

// Forwarder stands in front of a node's sessions. It is safe for concurrent use.
type Forwarder struct {
	cfg       Config
	deps      Deps
	log       *slog.Logger
	marker    *marker
	asker     *asker
	transport *http.Transport
	buffers   buffers
	count     counters
	// When these were last warned of, in nanoseconds since 1970.
	staleWarned, foreignWarned atomic.Int64

	// ctx bounds what is under way; cancelled by Run.
	ctx    context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	ended   bool                            // mu
	drained bool                            // mu: no more WebSockets
	polls   map[*passage]struct{}           // mu: requests that are no WebSockets
	tunnels map[*passage]context.CancelFunc // mu: WebSockets, by what cuts them
	under   sync.WaitGroup                  // added to under mu
}

var _ http.Handler = (*Forwarder)(nil)

// New makes a forwarder, which forwards until its Run ends.
func New(cfg Config, deps Deps) (*Forwarder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Next == nil || deps.Sessions == nil || deps.Log == nil {
		return nil, errors.New("forward: a dependency is missing")
	}
	m, err := newMarker(cfg.Secret, cfg.MarkAge)
	if err != nil {
		return nil, err
	}
	a, err := newAsker(cfg.Secret)
	if err != nil {
		return nil, err
	}
	f := &Forwarder{
		cfg: cfg, deps: deps, log: deps.Log.With("component", "forward"), marker: m, asker: a, buffers: newBuffers(),
		polls: make(map[*passage]struct{}), tunnels: make(map[*passage]context.CancelFunc),
	}
	f.transport = f.newTransport()
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

// Run forwards until ctx ends; then it ends what is under way and returns when nothing is.
func (f *Forwarder) Run(ctx context.Context) error {
	<-ctx.Done()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.cancel()
	f.under.Wait()
	f.transport.CloseIdleConnections()
	return nil
}

// ServeHTTP passes on what is another node's, and all else to Deps.Next.
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if questions, ok := r.Header[AskHeader]; ok {
		f.asked(w, r, questions)
		return
	}
	if marks, ok := r.Header[Header]; ok {
		// Whatever the mark is worth: what bears one has been passed on, and is not again, or two nodes that disagree would
		// go on for ever.
		f.deps.Next.ServeHTTP(w, f.receive(r, marks))
		return
	}
	sid := sessionOf(r.URL.RawQuery)
	// A preflight asks the same of every node.
	if sid == "" || f.cfg.Off || r.Method == http.MethodOptions || f.deps.Sessions.Own(sid) {
		f.deps.Next.ServeHTTP(w, r)
		return
	}
	address, authentic := f.deps.Sessions.Owner(sid)
	switch {
	case !authentic:
		f.deps.Next.ServeHTTP(w, r)
	case !isAddress(address):
		f.note(unknown)
		f.deps.Next.ServeHTTP(w, r)
	default:
		f.pass(w, r, address)
	}
}

// receive returns a marked request without its mark, and if that is authentic, as the node that made it had it.
func (f *Forwarder) receive(r *http.Request, marks []string) *http.Request {
	r.Header.Del(Header)
	peer, err := f.marker.check(r, marks, time.Now())
	switch {
	case errors.Is(err, errStale):
		f.count.stale.Add(1)
		if seldom(&f.staleWarned) {
			f.log.Warn("a node passes requests on whose time is too far from this node's; its clients' addresses are not believed",
				"peer", r.RemoteAddr, "most", f.cfg.MarkAge)
		}
		return r
	case err != nil:
		f.count.forged.Add(1)
		return r
	}
	f.count.accepted.Add(1)
	as := *r
	as.RemoteAddr = peer.String()
	return &as
}

// seldom is true once in a minute.
func seldom(warned *atomic.Int64) bool {
	now, last := time.Now().UnixNano(), warned.Load()
	return now-last >= int64(time.Minute) && warned.CompareAndSwap(last, now)
}

func (f *Forwarder) note(what outcome) { f.count.forwarded[what].Add(1) }

// isAddress reports whether a member's address can be connected to. It may have said anything.
func isAddress(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(host, "/?#@ ") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
