package main

import (
	"context"
	"sync"
)

// draining is a drain that the admin API has asked for.
type draining struct {
	once sync.Once
	// asked is closed by the first request, handed when the consumer has then settled what it held.
	asked, handed chan struct{}
}

func newDraining() *draining {
	return &draining{asked: make(chan struct{}), handed: make(chan struct{})}
}

// Drain makes runDrain send this node's clients away.
func (o operators) Drain() { o.drain.once.Do(func() { close(o.drain.asked) }) }

// runDrain winds this node up when it is asked to, once, in the order of an orderly end: not ready, no more events, then
// the clients. The process stays until it is stopped.
func (p *parts) runDrain(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.drain.asked:
	}
	p.log.Info("draining, as asked by the admin API")
	p.turnAway()
	select {
	case <-ctx.Done():
		return nil
	case <-p.drain.handed:
	}
	if err := p.node.Drain(ctx); err != nil && ctx.Err() == nil {
		p.log.Warn("sockets left at the end of draining", "sockets", p.node.Stats().Connections, "err", err)
	}
	<-ctx.Done()
	return nil
}

// consume consumes until ctx ends or the admin API has the node drain: then its part of the events is the others', at
// once, although the process stays.
func (p *parts) consume(ctx context.Context) error {
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.consumer.Run(consuming) }()
	select {
	case err := <-ended:
		return err
	case <-p.drain.asked:
	}
	stop()
	err := <-ended
	close(p.drain.handed)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// turnAway makes the load balancer and the other nodes look elsewhere.
func (p *parts) turnAway() {
	p.stopping.Store(true)
	if p.gossip != nil {
		p.gossip.SetDraining(true)
	}
}
