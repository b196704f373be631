//go:build !linux

package load

// poller serves each connection by a goroutine.
type poller struct{ *netWires }

func newPoller(l *loop) (*poller, error) { return &poller{newNetWires(l)}, nil }

func (p *poller) read() { <-p.ctx.Done() }
