package forward

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// newTransport keeps the connections between nodes. Nothing is asked for twice: see passage.rewrite.
func (f *Forwarder) newTransport() *http.Transport {
	cfg := f.cfg
	var plain http.Protocols
	plain.SetHTTP1(true)
	return &http.Transport{
		DialContext: f.connect, Protocols: &plain, DisableCompression: true,
		MaxIdleConns: 0, MaxIdleConnsPerHost: cfg.MaxIdle, IdleConnTimeout: cfg.IdleTimeout,
		// A bound that is never waited at: what takes connections is bounded before.
		MaxConnsPerHost: cfg.MaxPolls + cfg.MaxWebSockets + cfg.MaxIdle, ResponseHeaderTimeout: cfg.AnswerTimeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// passage is one request on its way to another node.
type passage struct {
	forwarder *Forwarder
	w         *answer
	r         *http.Request
	address   string
	websocket bool
	began     time.Time
	// asked is when it was last to be sent away. Forwarder.mu.
	asked time.Time
}

// pass passes a request on, and answers as the other node does. Where there is no answer the client hears what the other
// node's next life would say: that the session is unknown. It comes back to it by recovery.
func (f *Forwarder) pass(w http.ResponseWriter, r *http.Request, address string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	p := &passage{forwarder: f, r: r, address: address, websocket: isUpgrade(r), began: time.Now()}
	if !f.enter(p, cancel) {
		f.note(busy)
		f.deps.Next.ServeHTTP(w, r)
		return
	}
	defer f.leave(p)
	defer context.AfterFunc(f.ctx, cancel)()
	p.w = newAnswer(w, f.cfg.StallTimeout, cancel)
	defer p.w.finish()
	proxy := httputil.ReverseProxy{
		Rewrite: p.rewrite, ModifyResponse: p.answered, ErrorHandler: p.failed, Transport: f.transport, BufferPool: &f.buffers,
		ErrorLog: slog.NewLogLogger(f.log.Handler(), slog.LevelDebug),
	}
	proxy.ServeHTTP(p.w, r.WithContext(aimed(ctx, r)))
}

func isUpgrade(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// enter takes a place, and makes Run wait; false if there is none.
func (f *Forwarder) enter(p *passage, cut context.CancelFunc) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended, p.websocket && f.drained:
		return false
	case p.websocket && len(f.tunnels) < f.cfg.MaxWebSockets:
		f.tunnels[p] = cut
	case !p.websocket && len(f.polls) < f.cfg.MaxPolls:
		f.polls[p] = struct{}{}
	default:
		return false
	}
	f.under.Add(1)
	return true
}

func (f *Forwarder) leave(p *passage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.tunnels, p)
	delete(f.polls, p)
	f.under.Done()
}

// forwardedHeaders are what the proxies before this node say; the library leaves them out.
var forwardedHeaders = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// rewrite makes the request that is sent: the same, with a mark. The other node sees it as this one did: who sent it
// stands in the mark, so that X-Forwarded-For is still what the load balancer made of it.
func (p *passage) rewrite(pr *httputil.ProxyRequest) {
	f, out := p.forwarder, pr.Out
	out.URL.Scheme, out.URL.Host, out.Host = "http", p.address, pr.In.Host
	out.URL.RawQuery = pr.In.URL.RawQuery
	for _, name := range forwardedHeaders {
		if values, ok := pr.In.Header[name]; ok {
			out.Header[name] = values
		}
	}
	out.Header[Header] = []string{f.marker.mark(out.Method, out.URL.RequestURI(), pr.In.RemoteAddr, p.began)}
	// The library repeats a request without a body when its connection breaks. The other node may have taken what the
	// first answer held from the session's queue: the client has to see that it is lost.
	if out.Body == nil {
		out.Body = noRepeat{}
		return
	}
	most := f.cfg.MaxPayload + 1
	out.Body = limited{io.LimitReader(out.Body, most), out.Body}
	out.ContentLength = min(out.ContentLength, most)
}

// limited is a body of which no more is read.
type limited struct {
	io.Reader
	io.Closer
}

// noRepeat is no body, of a request that is sent once.
type noRepeat struct{}

func (noRepeat) Read([]byte) (int, error) { return 0, io.EOF }
func (noRepeat) Close() error             { return nil }

// answered notes an answer of the other node.
func (p *passage) answered(*http.Response) error {
	f := p.forwarder
	f.note(answered)
	if f.deps.Took != nil && p.r.Method == http.MethodPost {
		f.deps.Took(time.Since(p.began))
	}
	return nil
}

// failed answers where the other node does not.
func (p *passage) failed(_ http.ResponseWriter, _ *http.Request, err error) {
	f := p.forwarder
	if p.w.hijacked {
		return
	}
	if p.r.Context().Err() != nil {
		f.note(abandoned)
		return
	}
	what, dial := broken, (*net.OpError)(nil)
	switch {
	case f.ctx.Err() != nil:
		what = stopped
	case errors.Is(err, errForeign):
		what = foreign
		if seldom(&f.foreignWarned) {
			f.log.Warn("what answers at a node's address does not prove to be the node; nothing is passed on to it",
				"to", p.address, "err", err)
		}
	case errors.As(err, &dial) && dial.Op == "dial":
		what = unreachable
	}
	f.note(what)
	f.log.Debug("a request was not passed on", "outcome", outcomeNames[what], "to", p.address, "err", err)
	f.deps.Next.ServeHTTP(p.w, p.r)
}

// buffers are what answers are copied with.
type buffers struct{ pool sync.Pool }

var _ httputil.BufferPool = (*buffers)(nil)

func newBuffers() buffers {
	return buffers{pool: sync.Pool{New: func() any { return new([copyBuffer]byte) }}}
}

const copyBuffer = 32 << 10

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	buf, _ := b.pool.Get().(*[copyBuffer]byte)
	return buf[:]
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[copyBuffer]byte)(buf)) }
