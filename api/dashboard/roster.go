package dashboard

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// roster remembers the nodes, those that have gone included, until their names are taken again or a window is over. It
// belongs to whoever has Page.mu.
type roster struct {
	keep  time.Duration
	nodes map[string]*entry // by name
}

type entry struct {
	last     Figures // what it said last; of one that never answered only name, identity and version
	seen     int64   // when it last answered, or was first known of, unix ms
	member   bool
	answered bool // this time
	leaving  bool
}

func newRoster(keep time.Duration) *roster {
	return &roster{keep: keep, nodes: make(map[string]*entry)}
}

// heard notes the answers of this time.
func (r *roster) heard(all []Figures, now int64) {
	for _, e := range r.nodes {
		e.answered = false
	}
	for _, f := range all {
		r.nodes[f.Name] = &entry{last: f, seen: now, member: true, answered: true, leaving: f.Draining}
	}
}

// members notes who counts as living.
func (r *roster) members(all []Member, now int64) {
	living := make(map[string]bool, len(all))
	for _, m := range all {
		living[m.Name] = true
		e := r.nodes[m.Name]
		if e == nil || e.last.Identity != m.Identity && !e.answered {
			e = &entry{last: Figures{Name: m.Name, Identity: m.Identity, Version: m.Version}, seen: now}
			r.nodes[m.Name] = e
		}
		e.member = true
	}
	maps.DeleteFunc(r.nodes, func(name string, e *entry) bool {
		e.member = living[name] || e.answered
		return !e.member && now-e.seen > r.keep.Milliseconds()
	})
}

// leaving notes that a process goes in order.
func (r *roster) leaving(identity string) {
	for _, e := range r.nodes {
		if e.last.Identity == identity {
			e.leaving = true
		}
	}
}

// views are the nodes by name. Without Redis nobody but this node can be asked.
func (r *roster) views(redis bool) []nodeView {
	views := make([]nodeView, 0, len(r.nodes))
	for _, e := range r.nodes {
		v := newNodeView(e.last)
		switch {
		case e.answered:
		case !redis && e.member:
			v.State, v.Since = stateUnknown, e.seen
		case e.member:
			v.State, v.Since = stateSilent, e.seen
		case e.leaving:
			v.State, v.Since = stateLeft, e.seen
		default:
			v.State, v.Since = stateLost, e.seen
		}
		views = append(views, v)
	}
	return slices.SortedFunc(slices.Values(views), func(a, b nodeView) int { return cmp.Compare(a.Name, b.Name) })
}

// known is what every node said last, and living what those said that count as living, or did while that could be told.
func (r *roster) known() (known, living []Figures) {
	for _, e := range r.nodes {
		if e.last.Started == 0 {
			continue // it never answered
		}
		known = append(known, e.last)
		if e.member {
			living = append(living, e.last)
		}
	}
	return known, living
}
