package adapter

import (
	"context"
	"time"
)

// runSync keeps the clients of quiet sockets able to recover: the offset that they know must not become older than what
// the log still holds.
func (c *Cluster) runSync(ctx context.Context) {
	tick := time.NewTicker(max(c.cfg.SyncAfter/6, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		c.history.tidy()
		for _, name := range c.namespaces() {
			if a := c.adapterOf(name); a != nil {
				c.guard("sync", a.sync)
			}
		}
	}
}

// syncFrame makes at the offset of those that it is sent to.
func syncFrame(nsp string, at streamID) *frame {
	return newFrame(nsp, packetBody{array: []byte(`["sync"]`), offset: at}, flags{})
}

// sync sends the position, behind their events, to the sockets that were sent nothing for a while. Age is told by the
// log's own ids.
func (a *nspAdapter) sync() {
	a.c.deliverMu.Lock()
	defer a.c.deliverMu.Unlock()
	at := a.c.position
	age := uint64(a.c.cfg.SyncAfter.Milliseconds())
	if at.ms < age {
		return
	}
	f := syncFrame(a.name, at)
	a.table.walk(options{}, func(m *member) {
		if !m.served || m.upTo.ms > at.ms-age {
			return
		}
		if s := m.socketIn(a.nsp); s != nil && s.Connected() {
			m.upTo = at
			a.post(m, s, job{frame: f})
		}
	})
}
