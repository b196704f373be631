package presence

import (
	"context"
	"fmt"
	"time"
)

// chores does, on the leading node, what one node does for all: announces who left, subtracts what ended nodes held,
// forgets those that ended long ago. Whatever it leaves undone, the next leader finds.
func (p *Presence) chores(ctx context.Context) {
	tick := time.NewTicker(max(p.cfg.AbsentFor/4, time.Millisecond))
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.reapNow:
		case <-tick.C:
		}
		if !p.Lead() {
			continue
		}
		err := p.round(ctx)
		if (err != nil) != failing && ctx.Err() == nil {
			failing = err != nil
			p.log.Info("reaping", "ok", err == nil, "err", err)
		}
	}
}

func (p *Presence) round(ctx context.Context) error {
	if err := p.announceLeft(ctx); err != nil {
		return err
	}
	v := p.view.Load()
	for id, e := range v.nodes {
		if e.Ended == 0 || (e.Done && v.now-e.Ended <= p.cfg.Window.Milliseconds()) {
			continue
		}
		if err := p.reap(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// reap subtracts what an ended node holds, in calls of at most ReapBatch fields. It stops without an error if the node
// lives again.
func (p *Presence) reap(ctx context.Context, id string) error {
	alive := false
	step := func(rooms bool) func([]field) error {
		return func(fields []field) error {
			if alive {
				return nil
			}
			n, err := p.reapSome(ctx, id, rooms, fields)
			if err != nil {
				return err
			}
			alive = n < 0
			p.count.reapedFields.Add(uint64(max(n, 0)))
			if p.hooks.afterReap != nil {
				return p.hooks.afterReap(id)
			}
			return nil
		}
	}
	if err := p.scan(ctx, p.keys.nodeUsers(id), step(false)); err != nil {
		return err
	}
	if err := p.scan(ctx, p.keys.nodeRooms(id), step(true)); err != nil {
		return err
	}
	ctx, cancel := p.callContext(ctx)
	defer cancel()
	names := []string{p.keys.nodes, p.keys.nodeUsers(id), p.keys.nodeRooms(id)}
	if err := finishScript.Run(ctx, p.deps.Redis, names, id, p.cfg.Window.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("ending the reaping of %s: %w", id, err)
	}
	return nil
}

// reapSome subtracts some of what an ended node holds: users, or with rooms, room members. A negative number says that
// the node lives again.
func (p *Presence) reapSome(ctx context.Context, id string, rooms bool, fields []field) (int64, error) {
	var b *batch
	if k := &p.keys; rooms {
		b = newBatch(len(fields), k.nodes, k.nodeRooms(id), k.leaving)
		b.add(id, p.cfg.grace().Milliseconds())
	} else {
		b = newBatch(len(fields), k.nodes, k.nodeUsers(id), k.users)
		b.add(id, "")
	}
	for _, f := range fields {
		at := 0
		if k, ok := parseField(f.name, rooms); ok {
			total := p.keys.role(k.role)
			if rooms {
				total = p.keys.room(k.room)
			}
			at = b.key(total)
		}
		b.add(f.name, at)
	}
	ctx, cancel := p.callContext(ctx)
	defer cancel()
	n, err := reapScript.Run(ctx, p.deps.Redis, b.keys, b.args...).Int64()
	if err != nil {
		return 0, fmt.Errorf("reaping %s: %w", id, err)
	}
	return n, nil
}

// announceLeft announces those whose leaving is due.
func (p *Presence) announceLeft(ctx context.Context) error {
	for {
		n, err := p.announceSomeLeft(ctx)
		if err != nil {
			return fmt.Errorf("announcing who left: %w", err)
		}
		if n < p.cfg.ReapBatch {
			return nil
		}
	}
}

func (p *Presence) announceSomeLeft(ctx context.Context) (int, error) {
	ctx, cancel := p.callContext(ctx)
	defer cancel()
	due, err := dueScript.Run(ctx, p.deps.Redis, []string{p.keys.leaving}, p.cfg.ReapBatch).StringSlice()
	if err != nil || len(due) == 0 {
		return 0, err
	}
	b := newBatch(len(due), p.keys.leaving, p.keys.log)
	for _, member := range due {
		var entry []string
		if k, ok := parseField(member, true); ok {
			entry = p.announcement(false, k)
		}
		b.add(member, len(entry))
		for _, s := range entry {
			b.add(s)
		}
	}
	n, err := leftScript.Run(ctx, p.deps.Redis, b.keys, b.args...).Int64()
	if err != nil {
		return 0, err
	}
	p.count.left.Add(uint64(n))
	return len(due), nil
}

// leave subtracts this node. Where it fails, the leading node goes on.
func (p *Presence) leave(ctx context.Context) error {
	marked, err := leaveScript.Run(ctx, p.deps.Redis, []string{p.keys.nodes}, p.cfg.Node, p.seq.Add(1)).Int64()
	if err != nil {
		return fmt.Errorf("leaving: %w", err)
	}
	if marked == 0 {
		return nil
	}
	return p.reap(ctx, p.cfg.Node)
}
