package limits

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Budget is what the cluster has to spare for connects.
type Budget interface {
	// Ready reports, taking nothing, whether a connect that came now would get its turn; if not, when to come back.
	Ready() (retryAfter time.Duration, ok bool)
}

// GuardConfig is what a guard is told besides the limits.
type GuardConfig struct {
	// Budget is looked at before an address' rate; nil: there is none.
	Budget Budget
	// AllowOrigin decides whose pages may talk to the guarded handler. A request of another's is passed on to be refused
	// there: it costs its address nothing, since the visitor of a hostile page is not to blame. Pages that may are let read
	// what they are refused with. nil: all are passed, and no page can read.
	AllowOrigin func(*http.Request) bool
	// Log is required.
	Log *slog.Logger
}

// Guard makes new handshakes pass the cluster's budget and their address' rate before they reach next, which serves
// Engine.IO; requests of sessions pass untouched. Over the budget the answer is 503, over the rate 429, both with
// Retry-After and {"code":"rate_limited","message":…}.
func (l *Limits) Guard(next http.Handler, cfg GuardConfig) http.Handler {
	if l == nil {
		return next
	}
	return &guard{next: next, limits: l, cfg: cfg, log: cfg.Log.With("component", "limits")}
}

type guard struct {
	next   http.Handler
	limits *Limits
	cfg    GuardConfig
	log    *slog.Logger
	// warned is when warnOfProxy last did, in nanoseconds since 1970.
	warned atomic.Int64
}

var _ http.Handler = (*guard)(nil)

// refusal is an answer, made beforehand: refusing has to cost less than asking.
type refusal struct {
	status int
	body   []byte
}

var (
	overRate   = newRefusal(http.StatusTooManyRequests, "too many connects from your address, try again later")
	overBudget = newRefusal(http.StatusServiceUnavailable, "too many connects at the moment, try again later")

	headerJSON = []string{"application/json"}
	headerTrue = []string{"true"}
	headerVary = []string{"Origin"}
	headerSeen = []string{"Retry-After"}
	// retryAfters are the headers of up to a minute, by seconds.
	retryAfters = newRetryAfters(60)
)

func newRefusal(status int, message string) *refusal {
	return &refusal{status, []byte(`{"code":"rate_limited","message":"` + message + `"}`)}
}

func newRetryAfters(most int) [][]string {
	all := make([][]string, most+1)
	for s := range all {
		all[s] = []string{strconv.Itoa(s)}
	}
	return all
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isHandshake(r) || g.cfg.AllowOrigin != nil && !g.cfg.AllowOrigin(r) {
		g.next.ServeHTTP(w, r)
		return
	}
	if g.cfg.Budget != nil {
		if retryAfter, ok := g.cfg.Budget.Ready(); !ok {
			g.limits.count.budget.Add(1)
			g.refuse(w, r, overBudget, retryAfter)
			return
		}
	}
	addr := ClientAddr(r, g.limits.cfg.TrustedProxies)
	if retryAfter, ok := g.limits.handshakes.Allow(Group(addr)); !ok {
		g.limits.count.handshakes.Add(1)
		g.warnOfProxy(r, addr)
		g.refuse(w, r, overRate, retryAfter)
		return
	}
	g.next.ServeHTTP(w, r)
}

// isHandshake reports whether r would begin a session. A preflight only asks whether it may.
func isHandshake(r *http.Request) bool {
	return r.Method != http.MethodOptions && !hasSession(r.URL.RawQuery)
}

// hasSession reports whether the query's first sid says something, as url.ParseQuery would read it: a request that the
// handler takes for a handshake must not pass for another.
func hasSession(query string) bool {
	if strings.ContainsAny(query, "%+;") {
		values, err := url.ParseQuery(query)
		return err == nil && values.Get("sid") != ""
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(pair, "="); key == "sid" {
			return value != ""
		}
	}
	return false
}

func (g *guard) refuse(w http.ResponseWriter, r *http.Request, why *refusal, retryAfter time.Duration) {
	seconds := max(1, int((retryAfter+time.Second-1)/time.Second))
	h := w.Header()
	if seconds < len(retryAfters) {
		h["Retry-After"] = retryAfters[seconds]
	} else {
		h["Retry-After"] = []string{strconv.Itoa(seconds)}
	}
	if origin := r.Header["Origin"]; g.cfg.AllowOrigin != nil && len(origin) > 0 {
		h["Access-Control-Allow-Origin"] = origin[:1]
		h["Access-Control-Allow-Credentials"] = headerTrue
		h["Access-Control-Expose-Headers"] = headerSeen // else a page of another origin cannot read it
		h["Vary"] = headerVary
	}
	h["Content-Type"] = headerJSON
	w.WriteHeader(why.status)
	_, _ = w.Write(why.body) // a client that has gone needs no answer
	if ctx := r.Context(); g.log.Enabled(ctx, slog.LevelDebug) {
		g.log.DebugContext(ctx, "handshake refused", "status", why.status, "retry_after", retryAfter, "peer", r.RemoteAddr)
	}
}

// warnOfProxy says, once in a minute, that all who come through a proxy share one rate, if it looks like that.
func (g *guard) warnOfProxy(r *http.Request, addr netip.Addr) {
	if len(r.Header["X-Forwarded-For"]) == 0 || trusted(addr, g.limits.cfg.TrustedProxies) {
		return
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || plain(peer.Addr()) != addr {
		return // it came through one that is trusted
	}
	now, last := time.Now().UnixNano(), g.warned.Load()
	if now-last < int64(time.Minute) || !g.warned.CompareAndSwap(last, now) {
		return
	}
	g.log.Warn("handshakes refused that an address forwards for others; if it is your proxy, it has to be trusted", "address", addr)
}
