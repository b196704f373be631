package forward

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// fewestDrained is how many are sent away in a second at least, so that a node with few need not take long.
	fewestDrained = 20
	// againAfter is when a poll is shortened that has come while the node drains: the load balancer still sends some.
	againAfter = time.Second
	// lookEvery is how often it is looked for those.
	lookEvery = 50 * time.Millisecond
)

// Drain sends away those that go through this node, one by one over the time given, or less if they are few: it cuts the
// WebSockets, so that their clients come back through another as steadily, and has the open polls answered, which costs no
// client its connection. It takes no more WebSockets: who would change to one goes on polling. Polls that still come are
// passed on. It returns when none is under way, at the latest when the time is over or ctx ends; what is left then ends
// with Run. A nil Forwarder has none.
func (f *Forwarder) Drain(ctx context.Context, over time.Duration) {
	if f == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, over)
	defer cancel()
	var asking sync.WaitGroup
	defer asking.Wait()
	away, _ := f.through()
	if len(away) > 0 {
		f.log.Info("sending away those that go through this node to others", "requests", len(away), "over", over)
	}
	f.sendAway(ctx, &asking, away, min(over*9/10, time.Duration(len(away))*time.Second/fewestDrained))
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		away, late := f.through()
		if len(away) == 0 {
			return
		}
		f.sendAway(ctx, &asking, late, lookEvery)
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// through returns what goes through this node now, and those of them whose turn it is once more. It takes no more
// WebSockets.
func (f *Forwarder) through() (all, late []*passage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drained = true
	for p := range f.tunnels {
		all = append(all, p)
	}
	for p := range f.polls {
		all = append(all, p)
	}
	for _, p := range all {
		if time.Since(p.began) > againAfter && time.Since(p.asked) > againAfter {
			late = append(late, p)
		}
	}
	return all, late
}

// sendAway has those that are still under way leave, one by one over that time.
func (f *Forwarder) sendAway(ctx context.Context, asking *sync.WaitGroup, away []*passage, over time.Duration) {
	if len(away) == 0 {
		return
	}
	tick := time.NewTicker(max(over/time.Duration(len(away)), time.Millisecond))
	defer tick.Stop()
	for _, p := range away {
		f.mu.Lock()
		cut, websocket := f.tunnels[p]
		_, poll := f.polls[p]
		p.asked = time.Now()
		f.mu.Unlock()
		switch {
		case websocket:
			cut()
		case poll && p.r.Method == http.MethodGet: // the answer to a POST does not wait
			asking.Go(func() { f.askFor(ctx, p) })
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// askFor asks the other node to answer a poll.
func (f *Forwarder) askFor(ctx context.Context, p *passage) {
	ctx, cancel := context.WithTimeout(ctx, 2*f.cfg.DialTimeout)
	defer cancel()
	to := targetOf(p.r)
	r, err := http.NewRequestWithContext(aimed(ctx, p.r), http.MethodHead, "http://"+p.address+to.path+"?sid="+to.sid, http.NoBody)
	if err != nil {
		return // the URL has been one before
	}
	value, _ := f.asker.ask(askAnswer, to.sid)
	r.Header[AskHeader] = []string{value}
	res, err := f.transport.RoundTrip(r)
	if err != nil {
		f.log.Debug("a poll was not shortened", "to", p.address, "err", err)
		return
	}
	_ = res.Body.Close()
}
