package dashboard

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"
)

// sample is what a node remembers of a moment. At is a multiple of Config.SampleEvery, unix ms.
type sample struct {
	At           int64             `json:"t"`
	Roles        []int64           `json:"r"`
	Events       []uint64          `json:"e"`
	Latency      Latency           `json:"l"`
	Recovered    uint64            `json:"y"`
	NotRecovered uint64            `json:"n"`
	Refused      map[string]uint64 `json:"-"`
	Dead         map[string]uint64 `json:"-"`
}

// past is a node's history as the others are told it.
type past struct {
	Identity string   `json:"identity"`
	Samples  []sample `json:"samples"`
}

func newSample(f Figures, at int64) sample {
	s := sample{
		At: at, Latency: f.Latency, Recovered: f.Recovered, NotRecovered: f.NotRecovered, Refused: f.Refused, Dead: f.Dead,
	}
	for _, role := range Roles {
		s.Roles = append(s.Roles, f.Connections[role])
	}
	for _, kind := range Kinds {
		s.Events = append(s.Events, f.Events[kind])
	}
	return s
}

// history holds the samples of the last while, the oldest first. It is safe for concurrent use.
type history struct {
	most int

	mu      sync.Mutex
	samples []sample // mu; at most most
}

func newHistory(window, every time.Duration) *history { return &history{most: int(window/every) + 1} }

func (h *history) add(s sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) >= h.most {
		h.samples = slices.Delete(h.samples, 0, len(h.samples)-h.most+1)
	}
	h.samples = append(h.samples, s)
}

// lately adds to f what was counted within the window; all, if the node is younger than that.
func (h *history) lately(f Figures) Figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	var before sample
	if len(h.samples) >= h.most {
		before = h.samples[0]
	}
	f.RefusedLately, f.DeadLately = since(f.Refused, before.Refused), since(f.Dead, before.Dead)
	return f
}

func (h *history) past(identity string) past {
	h.mu.Lock()
	defer h.mu.Unlock()
	return past{Identity: identity, Samples: slices.Clone(h.samples)}
}

// since is what was counted after before; names without any are left out.
func since(now, before map[string]uint64) map[string]uint64 {
	diff := make(map[string]uint64)
	for name, n := range now {
		if n > before[name] {
			diff[name] = n - before[name]
		}
	}
	return diff
}

// sum adds counts up.
func sum[N int64 | uint64](into, counts map[string]N) {
	for name, n := range counts {
		into[name] += n
	}
}

// point is the whole cluster's at a moment: sockets by role, events a second by kind, and the latency of the slowest node.
type point struct {
	At      int64     `json:"t"`
	Roles   []int64   `json:"r"`
	Events  []float64 `json:"e"`
	Latency []float64 `json:"l"` // p50, p95, p99 in ms; empty: nothing was measured
}

// merged joins the nodes' histories: at each moment those that have a note of it.
func merged(all []past, every time.Duration) []point {
	points := make(map[int64]*point)
	for _, node := range all {
		for i, s := range node.Samples {
			if !s.whole() {
				continue
			}
			p := points[s.At]
			if p == nil {
				p = &point{At: s.At, Roles: make([]int64, len(Roles)), Events: make([]float64, len(Kinds))}
				points[s.At] = p
			}
			for r, n := range s.Roles {
				p.Roles[r] += n
			}
			p.slowest(s.Latency)
			if i == 0 || !node.Samples[i-1].whole() || s.At-node.Samples[i-1].At > 3*every.Milliseconds() {
				continue
			}
			p.rates(s.Events, node.Samples[i-1].Events, s.At-node.Samples[i-1].At)
		}
	}
	sorted := make([]point, 0, len(points))
	for _, at := range slices.Sorted(maps.Keys(points)) {
		sorted = append(sorted, *points[at])
	}
	return sorted
}

// whole is whether a sample has the form that this version knows.
func (s sample) whole() bool { return len(s.Roles) == len(Roles) && len(s.Events) == len(Kinds) }

func (p *point) slowest(l Latency) {
	if l.Count > 0 && (len(p.Latency) == 0 || l.P99 > p.Latency[2]) {
		p.Latency = []float64{l.P50, l.P95, l.P99}
	}
}

// rates adds what one node did between two moments.
func (p *point) rates(now, before []uint64, tookMs int64) {
	if tookMs <= 0 {
		return
	}
	for k := range now {
		if now[k] > before[k] {
			p.Events[k] += float64(now[k]-before[k]) * 1000 / float64(tookMs)
		}
	}
}

// decode reads nodes' answers; what is none is left out.
func decode[T any](answers [][]byte) []T {
	var all []T
	for _, raw := range answers {
		var v T
		if json.Unmarshal(raw, &v) == nil {
			all = append(all, v)
		}
	}
	return all
}
