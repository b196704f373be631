package forward

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/teloo/realtime-gateway/node/engine"
)

const (
	patience = 20 * time.Second
	origin   = "https://app.example"
	refused  = `{"code":1,"message":"Session ID unknown"}`
)

// cluster are nodes that know each other.
type cluster struct {
	mu    sync.Mutex
	nodes map[engine.Tag]string // mu: addresses
}

// place is one node of a cluster: the engine behind a forwarder.
type place struct {
	t        testing.TB
	name     string
	engine   *engine.Server
	forward  *Forwarder
	http     *httptest.Server
	of       *cluster
	sessions chan *engine.Session
	// seen are the requests that the engine was given.
	seen chan *http.Request
	stop func()
}

func (c *cluster) set(name, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[engine.TagOf(name)] = address
}

// Own implements Sessions.
func (p *place) Own(sid string) bool { return p.engine.Own(sid) }

// Owner implements Sessions.
func (p *place) Owner(sid string) (string, bool) {
	tag, ok := p.engine.Owner(sid)
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	return p.of.nodes[tag], ok
}

// ServeHTTP is what stands behind the forwarder.
func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case p.seen <- r: // questions do not come so far
	default:
	}
	p.engine.ServeHTTP(w, r)
}

type change struct {
	forward func(*Config)
	engine  func(*engine.Config)
	behind  http.Handler
}

func newCluster() *cluster { return &cluster{nodes: map[engine.Tag]string{}} }

func (c *cluster) start(t testing.TB, name string, ch change) *place {
	cfg, own := DefaultConfig(), engine.DefaultConfig()
	cfg.Secret, own.Secret, own.NodeName, own.Writers = []byte("secret"), []byte("secret"), name, 1
	own.AllowOrigin = func(r *http.Request) bool { o := r.Header.Get("Origin"); return o == "" || o == origin }
	if ch.forward != nil {
		ch.forward(&cfg)
	}
	if ch.engine != nil {
		ch.engine(&own)
	}
	log := slog.New(slog.DiscardHandler)
	p := &place{t: t, name: name, of: c, sessions: make(chan *engine.Session, 64), seen: make(chan *http.Request, 64)}
	var err error
	p.engine, err = engine.New(own, log)
	require.NoError(t, err)
	_ = p.engine.On("connection", func(args ...any) {
		s, _ := args[0].(*engine.Session)
		p.sessions <- s
	})
	next := ch.behind
	if next == nil {
		next = p
	}
	p.forward, err = New(cfg, Deps{Next: next, Sessions: p, Answer: p.engine.AnswerPoll, Log: log})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var actors sync.WaitGroup
	for _, run := range []func(context.Context) error{p.engine.Run, p.forward.Run} {
		actors.Go(func() { _ = run(ctx) })
	}
	p.http = httptest.NewServer(p.forward)
	c.set(name, p.address())
	p.stop = sync.OnceFunc(func() {
		cancel()
		p.http.CloseClientConnections()
		p.http.Close()
		actors.Wait()
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(p.stop)
	return p
}

func (p *place) address() string { return p.http.Listener.Addr().String() }

func (p *place) url(sid string) string { return p.http.URL + "/?EIO=4&transport=polling&sid=" + sid }

// open begins a polling session and returns its id.
func (p *place) open() (string, *engine.Session) {
	status, _, _ := p.ask(http.MethodGet, p.http.URL+"/?EIO=4&transport=polling", "", nil)
	require.Equal(p.t, http.StatusOK, status)
	s := <-p.sessions
	<-p.seen
	return s.Id(), s
}

func (p *place) ask(method, url, body string, header http.Header) (int, http.Header, string) {
	r, err := http.NewRequestWithContext(p.t.Context(), method, url, strings.NewReader(body))
	require.NoError(p.t, err)
	maps.Copy(r.Header, header)
	res, err := http.DefaultClient.Do(r)
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return res.StatusCode, res.Header, string(text)
}

// send sends a message to the client behind what else there is.
func send(s *engine.Session, text string) { s.Send(types.NewStringBufferString(text), nil, nil) }

// closedAddress is one that nothing listens at.
func closedAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
