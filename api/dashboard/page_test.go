package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	goodKey  = "the-key-of-a-test-has-32-bytes-or-more"
	deadline = 20 * time.Second
)

var errSecret = errors.New("dial tcp 10.1.2.3:6379: password is hunter2")

// rig is a page under test in a cluster of fakes, which a test changes under mu.
type rig struct {
	cfg  Config
	logs bytes.Buffer

	mu      sync.Mutex
	own     Figures
	others  []Figures
	pasts   []past
	cluster Cluster
	err     error // of Redis
	assets  fstest.MapFS
	dead    *fakeDead
}

func newRig() *rig {
	r := &rig{cfg: Config{Key: goodKey, Node: "gw1", CollectEvery: 100 * time.Millisecond, AskTimeout: 50 * time.Millisecond}, dead: &fakeDead{}}
	r.own = figuresOf("gw1")
	r.others = []Figures{figuresOf("gw2")}
	r.cluster = Cluster{Users: map[string]int64{"client": 3}, Members: membersOf("gw1", "gw2"), LogEnd: 5000}
	r.assets = fstest.MapFS{
		"index.html": {Data: []byte("<!doctype html><title>operators</title>")}, "assets/main-abc.js": {Data: []byte("export {}")},
		"assets/licenses.md": {Data: []byte("MIT")},
	}
	return r
}

func figuresOf(name string) Figures {
	return Figures{
		Name: name, Identity: name + ":1", Version: "1.0", Started: 1000, Ready: true, Position: 5000,
		Connections: map[string]int64{"client": 2, "admin": 1}, Events: map[string]uint64{"oferta": 10},
		Refused: map[string]uint64{"connect.token_invalid": 4}, Recovered: 9, NotRecovered: 1,
	}
}

func membersOf(names ...string) []Member {
	var all []Member
	for _, name := range names {
		all = append(all, Member{Name: name, Identity: name + ":1", Version: "1.0"})
	}
	return all
}

func (r *rig) with(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *rig) page(t *testing.T) *Page[*watcher] {
	t.Helper()
	p, err := New[*watcher](r.cfg, Deps{
		Figures: func() Figures { r.mu.Lock(); defer r.mu.Unlock(); return r.own },
		Ask: func(_ context.Context, question string) ([][]byte, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			answers := [][]byte{[]byte("no JSON")}
			if question == QuestionPast {
				for _, one := range r.pasts {
					answers = append(answers, encoded(one))
				}
				return answers, r.err
			}
			for _, f := range r.others {
				answers = append(answers, encoded(f))
			}
			return answers, errSecret // some are missing
		},
		Members: func(context.Context) ([]Member, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.cluster.Members, r.err
		},
		Cluster: func(context.Context) (Cluster, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.cluster, r.err
		},
		Dead: r.dead, Assets: r.assets,
		ClientAddr: func(req *http.Request) netip.Addr {
			at, _ := netip.ParseAddrPort(req.RemoteAddr)
			return at.Addr()
		},
		Log: slog.New(slog.NewTextHandler(&r.logs, nil)),
	})
	require.NoError(t, err)
	return p
}

// run runs the page until the test ends.
func (r *rig) run(t *testing.T) *Page[*watcher] {
	t.Helper()
	p := r.page(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	return p
}

func encoded(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

// watcher keeps what it was sent.
type watcher struct {
	mu     sync.Mutex
	events []string
	chart  *chart
	last   view
}

func (w *watcher) Emit(event string, value any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
	switch v := value.(type) {
	case chart:
		w.chart = &v
	case view:
		w.last = v
	}
}

// sees waits for a view that ok accepts.
func (w *watcher) sees(t *testing.T, what string, ok func(view) bool) view {
	t.Helper()
	var last view
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		last = w.last
		return last.At > 0 && ok(last)
	}, deadline, 5*time.Millisecond, what)
	return last
}

func nodeIn(v view, name string) nodeView {
	for _, n := range v.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nodeView{}
}

func TestAdmitWantsTheKey(t *testing.T) {
	r := newRig()
	r.cfg.MaxFailures = 3
	p := r.page(t)
	from := func(addr string) *http.Request { return &http.Request{RemoteAddr: addr} }
	require.NoError(t, p.Admit(from("192.0.2.1:1"), map[string]any{"key": goodKey}))
	for _, auth := range []map[string]any{nil, {}, {"key": ""}, {"key": 7}, {"token": goodKey}} {
		require.ErrorIs(t, p.Admit(from("192.0.2.1:1"), auth), ErrUnauthorized)
	}
	for range 3 {
		require.ErrorIs(t, p.Admit(from("192.0.2.1:1"), map[string]any{"key": "wrong-secret"}), ErrUnauthorized)
	}
	require.ErrorIs(t, p.Admit(from("192.0.2.1:2"), map[string]any{"key": goodKey}), ErrRateLimited)
	require.NoError(t, p.Admit(from("192.0.2.2:1"), map[string]any{"key": goodKey}))
	require.Contains(t, r.logs.String(), "192.0.2.1")
	require.NotContains(t, r.logs.String(), "wrong-secret")
	require.NotContains(t, r.logs.String(), goodKey)
}

func TestAWatcherSeesTheCluster(t *testing.T) {
	r := newRig()
	now := time.Now().Truncate(5 * time.Second).UnixMilli()
	r.pasts = []past{{Identity: "gw2:1", Samples: []sample{newSample(figuresOf("gw2"), now-5000), newSample(figuresOf("gw2"), now)}}}
	r.cluster.Unread, r.cluster.Pending, r.cluster.Waiting, r.cluster.DeadLetters = 4, 2, 1500, 7
	r.others[0].Position = 4800
	p := r.run(t)
	w := &watcher{}
	p.Entered(w)
	v := w.sees(t, "both nodes", func(v view) bool { return len(v.Nodes) == 2 })
	require.Equal(t, []string{"history", "figures"}, w.events[:2])
	require.Len(t, w.chart.Points, 2)
	require.Equal(t, []int64{2, 0, 1}, w.chart.Points[0].Roles)
	require.Equal(t, "gw1", v.Node)
	require.Equal(t, []int64{4, 0, 2}, v.Point.Roles)
	require.Equal(t, map[string]uint64{"connect.token_invalid": 8}, v.Refused)
	require.Equal(t, []int64{4, 2, 1500, 7}, []int64{v.Unread, v.Pending, v.Waiting, v.Dead})
	require.Equal(t, stateReady, nodeIn(v, "gw2").State)
	require.EqualValues(t, 200, nodeIn(v, "gw2").Lag)
	require.EqualValues(t, 0, nodeIn(v, "gw1").Lag)
	require.Equal(t, deploy{Began: 1000, Ended: 1000, Nodes: 2, Of: 2, Counted: 2, Versions: []string{"1.0"}, Recovered: 18, NotRecovered: 2}, *v.Deploy)

	// Rates are of what is counted between turns.
	stop := make(chan struct{})
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				r.with(func() {
					n := r.own.Events["oferta"]
					r.own.Events = map[string]uint64{"oferta": n + 1}
					r.own.Deliveries += 3
				})
			}
		}
	}()
	v = w.sees(t, "a rate", func(v view) bool { return v.Point.Events[1] > 0 && nodeIn(v, "gw1").Deliveries > v.Point.Events[1] })
	require.Zero(t, v.Point.Events[0])
	close(stop)
	<-counted

	p.Left(w)
	require.Eventually(t, func() bool { return !p.watched() }, deadline, time.Millisecond)
}

func TestWhatHappensToNodesIsSeen(t *testing.T) {
	r := newRig()
	p := r.run(t)
	w := &watcher{}
	p.Entered(w)
	state := func(name, state string) func(view) bool {
		return func(v view) bool { return nodeIn(v, name).State == state }
	}
	w.sees(t, "ready", state("gw2", stateReady))
	gw2 := r.others
	r.with(func() { r.others = nil })
	v := w.sees(t, "silent", state("gw2", stateSilent))
	require.NotZero(t, nodeIn(v, "gw2").Since)
	require.Equal(t, []int64{2, 0, 1}, v.Point.Roles)
	r.with(func() { r.err = errSecret })
	v = w.sees(t, "unknown", state("gw2", stateUnknown))
	require.NotZero(t, v.RedisDownSince)
	require.EqualValues(t, 8, v.Refused["connect.token_invalid"], "what gw2 counted is not forgotten")
	require.Equal(t, 2, v.Deploy.Of)
	r.with(func() { r.err, r.cluster.Members = nil, membersOf("gw1") })
	v = w.sees(t, "lost", state("gw2", stateLost))
	require.Zero(t, v.RedisDownSince)
	require.Equal(t, 1, v.Deploy.Of)

	// It comes back as a new process, drains and leaves.
	r.with(func() {
		gw2[0].Identity, gw2[0].Draining = "gw2:2", true
		r.others, r.cluster.Members = gw2, append(membersOf("gw1"), Member{Name: "gw2", Identity: "gw2:2"})
	})
	w.sees(t, "draining", state("gw2", stateDraining))
	r.with(func() { r.others, r.cluster.Members = nil, membersOf("gw1") })
	w.sees(t, "left", state("gw2", stateLeft))
	// Another leaves in an instant, and says so.
	r.with(func() { r.others, r.cluster.Members = []Figures{figuresOf("gw3")}, membersOf("gw1", "gw3") })
	w.sees(t, "a third", state("gw3", stateReady))
	p.Leaving("gw3:1")
	r.with(func() { r.others, r.cluster.Members = nil, membersOf("gw1") })
	w.sees(t, "left", state("gw3", stateLeft))
	r.with(func() { r.own.Ready, r.own.Reasons = false, []string{"log"} })
	v = w.sees(t, "not ready", state("gw1", stateNotReady))
	require.Equal(t, []string{"log"}, nodeIn(v, "gw1").Reasons)

	// A node that is a member and never answered.
	r.with(func() { r.cluster.Members = membersOf("gw1", "gw9") })
	w.sees(t, "never heard of", state("gw9", stateSilent))

	// Who comes while Redis is away gets this node's history first, and the rest when it can be had.
	r.with(func() { r.err = errSecret })
	w.sees(t, "down", func(v view) bool { return v.RedisDownSince > 0 })
	p.Left(w)
	require.Eventually(t, func() bool { return !p.watched() }, deadline, time.Millisecond)
	late := &watcher{}
	p.Entered(late)
	late.sees(t, "down", func(v view) bool { return v.RedisDownSince > 0 })
	require.NotContains(t, r.logs.String(), "hunter2")
}

func TestSomebodyAnswersOtherNodes(t *testing.T) {
	r := newRig()
	p := r.page(t)
	p.history.add(newSample(r.own, 5000))
	var f Figures
	require.NoError(t, json.Unmarshal(p.Answer(QuestionNow), &f))
	require.Equal(t, "gw1:1", f.Identity)
	require.EqualValues(t, 4, f.RefusedLately["connect.token_invalid"])
	var told past
	require.NoError(t, json.Unmarshal(p.Answer(QuestionPast), &told))
	require.Equal(t, "gw1:1", told.Identity)
	require.Len(t, told.Samples, 1)
}

func TestTheRunningPageTakesSamples(t *testing.T) {
	r := newRig()
	r.cfg.SampleEvery = time.Second
	p := r.run(t)
	require.Eventually(t, func() bool {
		samples := p.past().Samples
		return len(samples) > 0 && samples[0].At%1000 == 0
	}, deadline, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.roster.nodes) == 2
	}, deadline, 10*time.Millisecond, "members are noted though nobody watches")
}

func TestAPanicCostsOneTurn(t *testing.T) {
	r := newRig()
	p := r.page(t)
	p.guarded("test", func() { panic(errSecret) })
	require.Contains(t, r.logs.String(), "panic")
}

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestThePageIsServedUnderAStrictPolicy(t *testing.T) {
	r := newRig()
	sockets := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := r.page(t).Handler(sockets)
	for _, path := range []string{"/dashboard", "/dashboard/"} {
		w := get(h, http.MethodGet, path)
		require.Equal(t, http.StatusOK, w.Code)
		require.Contains(t, w.Body.String(), "operators")
		require.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		policy := w.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
			require.Contains(t, policy, part)
		}
		require.NotContains(t, policy, "unsafe")
	}
	w := get(h, http.MethodHead, "/dashboard/assets/main-abc.js")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Header().Get("Cache-Control"), "immutable")
	require.Contains(t, w.Header().Get("Content-Type"), "javascript")
	require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	require.NotContains(t, get(h, http.MethodGet, "/dashboard/assets/licenses.md").Header().Get("Cache-Control"), "immutable")
	require.Equal(t, http.StatusTeapot, get(h, http.MethodGet, Sockets+"?EIO=4").Code)
	for _, path := range []string{"/dashboard/x", "/dashboard/assets/none.js", "/dashboard/assets/..%2findex.html", "/dashboard/index.html"} {
		require.Equal(t, http.StatusNotFound, get(h, http.MethodGet, path).Code, path)
	}
	post := get(h, http.MethodPost, "/dashboard")
	require.Equal(t, http.StatusMethodNotAllowed, post.Code)
	require.Equal(t, "GET, HEAD", post.Header().Get("Allow"))

	delete(r.assets, "index.html")
	w = get(h, http.MethodGet, "/dashboard")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "make web")
	p := r.page(t)
	p.deps.Assets = nil
	require.Equal(t, http.StatusServiceUnavailable, get(p.Handler(sockets), http.MethodGet, "/dashboard").Code)
	require.Equal(t, http.StatusNotFound, get(p.Handler(sockets), http.MethodGet, "/dashboard/assets/main-abc.js").Code)
}

func TestFailSaysNothingOfWhatFailed(t *testing.T) {
	r := newRig()
	w := httptest.NewRecorder()
	r.page(t).fail(w, httptest.NewRequest(http.MethodGet, "/dashboard/"+strings.Repeat("x", 500), nil), errSecret)
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.NotContains(t, w.Body.String(), "hunter2")
	require.Contains(t, r.logs.String(), "hunter2")
}

func TestFaultsOfTheConfigurationAreNamed(t *testing.T) {
	_, err := New[*watcher](Config{Key: "short-secret", SampleEvery: time.Hour, AskTimeout: time.Hour, MaxFailures: -1, MaxAddresses: 1}, Deps{})
	for _, part := range []string{"Key has 12 bytes", "Node is empty", "SampleEvery", "AskTimeout", "MaxFailures", "MaxAddresses"} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "short-secret")
	_, err = New[*watcher](Config{Key: goodKey, Node: "n"}, Deps{})
	require.ErrorContains(t, err, "dependency")
}
