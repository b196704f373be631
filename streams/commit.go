package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// commitLoop settles the backlog from its front until producersDone is closed and nothing is held, or ctx ends.
func (c *Consumer) commitLoop(ctx context.Context, producersDone <-chan struct{}) {
	turn, fault := turnPause(), faultPause()
	ahead := "" // the older entry that the last attempt met
	for ctx.Err() == nil {
		c.batch = c.backlog.head(c.batch[:0], c.cfg.Batch, c.cfg.BatchBytes)
		if len(c.batch) == 0 {
			if !c.waitForEntries(ctx, producersDone) {
				return
			}
			continue
		}
		c.renewWaiting(ctx)
		settled, err := c.commitOnce(ctx, ahead != "")
		c.healthy(&c.commitOK, "commit", err)
		if isNoGroup(err) {
			err = c.ensureGroup(ctx)
		}
		if err != nil {
			if !fault.wait(ctx) {
				return
			}
			continue
		}
		fault.reset()
		// Looking again soon pays as long as those ahead are moving.
		if settled.ahead == "" || settled.count > 0 || settled.ahead != ahead {
			turn.reset()
		}
		if ahead = settled.ahead; ahead != "" {
			c.stats.waits.Add(1)
			if !turn.wait(ctx) {
				return
			}
		}
	}
}

// waitForEntries waits until something is held; false means that nothing will be.
func (c *Consumer) waitForEntries(ctx context.Context, producersDone <-chan struct{}) bool {
	c.commitOK.Store(true) // what cannot be known without an entry is assumed
	select {
	case <-c.backlog.added:
		return true
	case <-ctx.Done():
		return false
	case <-producersDone:
		held, _ := c.backlog.size()
		return held > 0
	}
}

// progress is how far one attempt came.
type progress struct {
	count int    // entries settled
	ahead string // the id, or "?", of an older entry that is pending elsewhere; empty: none
}

// lookFirst is the size of a batch, in entries, from which it costs less to ask whether its turn has come than to send
// it in vain.
const lookFirst = 8

// commitOnce commits the batch. If that is large or had to wait before, it asks first whether its turn has come.
func (c *Consumer) commitOnce(ctx context.Context, waited bool) (progress, error) {
	if waited || len(c.batch) >= lookFirst {
		oldest, err := c.oldestPending(ctx)
		if err != nil {
			return progress{}, err
		}
		if at, ok := parseStreamID(oldest); ok && at.compare(c.batch[0].at) < 0 {
			return progress{ahead: oldest}, nil
		}
	}
	reply, err := c.runCommit(ctx, c.batch)
	if err != nil {
		return progress{}, err
	}
	c.settle(reply)
	p := progress{count: len(reply.outcomes)}
	if reply.fault != "" {
		return p, fmt.Errorf("%w: %s", errRefused, reply.fault)
	}
	if p.count < len(c.batch) {
		p.ahead = "?"
	}
	return p, nil
}

// errRefused is a write that Redis refused inside the commit script.
var errRefused = errors.New("streams: commit refused")

func (c *Consumer) oldestPending(ctx context.Context) (string, error) {
	pending, err := c.rdb.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: c.keys.events, Group: c.cfg.Group, Start: "-", End: "+", Count: 1,
	}).Result()
	if err != nil || len(pending) == 0 {
		return "", err
	}
	return pending[0].ID, nil
}

// settle takes the settled entries out of the backlog and counts them.
func (c *Consumer) settle(reply commitReply) {
	ids := make([]streamID, len(reply.outcomes))
	var seen, superseded uint64
	var relayed [kinds]uint64
	now := time.Now()
	last := ""
	for i, outcome := range []byte(reply.outcomes) {
		e := c.batch[i]
		ids[i] = e.at
		switch outcome {
		case 'g':
			superseded++
			e.end(OutcomeSuperseded)
			continue
		case 'd':
			c.stats.died(e.reason)
			c.log.Debug("dead letter", "id", e.id, "reason", e.reason)
		case 's':
			seen++
			e.end(OutcomeSeen)
		default:
			relayed[e.kind]++
			if c.timed != nil {
				c.timed(Timing{ID: e.id, Added: time.UnixMilli(int64(e.at.ms)), Occurred: e.occurred, Committed: now, Waited: now.Sub(e.ready)})
			}
			e.end(OutcomeRelayed)
		}
		last = e.id
	}
	for kind, n := range relayed {
		c.stats.relayed[kind].Add(n)
	}
	c.stats.duplicates.Add(seen)
	c.stats.superseded.Add(superseded)
	c.stats.grantsFailed.Add(uint64(reply.badGrants))
	if last != "" {
		c.stats.committed(last)
	}
	if len(ids) > 0 {
		c.backlog.remove(ids)
	}
	c.noteCuts(reply)
}

// noteCuts counts what the caps removed and warns of it once a minute at most.
func (c *Consumer) noteCuts(reply commitReply) {
	c.stats.logCut.Add(uint64(reply.cut))
	c.stats.deadCut.Add(uint64(reply.deadCut))
	now := time.Now()
	if reply.cut > 0 && now.Sub(c.cutWarned) > time.Minute {
		c.cutWarned = now
		c.log.Warn("the log's cap removes entries that are still wanted: raise LOG_MAX_ENTRIES",
			"cap", c.cfg.LogMaxEntries, "age", c.cfg.LogMaxAge)
	}
	if reply.deadCut > 0 && now.Sub(c.deadWarned) > time.Minute {
		c.deadWarned = now
		c.log.Warn("the oldest dead letters are removed: look into them, or raise DEAD_MAX_ENTRIES",
			"cap", c.cfg.DeadMaxEntries)
	}
}

// renewWaiting renews what has waited for a quarter of MinIdle, so that waiting is never mistaken for dying. Entries that
// are not this consumer's any more are dropped.
func (c *Consumer) renewWaiting(ctx context.Context) {
	now := time.Now()
	if now.Before(c.nextRenew) {
		return
	}
	every := c.cfg.MinIdle / 4
	stale := c.backlog.stale(nil, now.Add(-every), maxRenewals)
	if len(stale) == 0 {
		c.nextRenew = now.Add(every / 4)
		return
	}
	ids := make([]string, len(stale))
	for i, e := range stale {
		ids[i] = e.id
	}
	gone, err := c.renew(ctx, ids)
	if err != nil {
		c.nextRenew = now.Add(every / 4)
		return
	}
	var dropped []streamID
	for _, e := range stale {
		if slices.Contains(gone, e.id) {
			dropped = append(dropped, e.at)
			e.end(OutcomeSuperseded)
			continue
		}
		e.renewed = now
	}
	c.stats.renewed.Add(uint64(len(stale) - len(dropped)))
	if len(dropped) > 0 {
		c.stats.superseded.Add(uint64(len(dropped)))
		c.backlog.remove(dropped)
	}
}
