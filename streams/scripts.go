package streams

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/commit.lua
	commitSource string
	//go:embed lua/claim_idle.lua
	claimIdleSource string
	//go:embed lua/claim_from.lua
	claimFromSource string
	//go:embed lua/renew.lua
	renewSource string
	//go:embed lua/mark.lua
	markSource string
	//go:embed lua/create_group.lua
	createGroupSource string
	//go:embed lua/trim.lua
	trimSource string
	//go:embed lua/delete_consumer.lua
	deleteConsumerSource string
	//go:embed lua/lag.lua
	lagSource string

	commitScript         = redis.NewScript(commitSource)
	claimIdleScript      = redis.NewScript(claimIdleSource)
	claimFromScript      = redis.NewScript(claimFromSource)
	renewScript          = redis.NewScript(renewSource)
	markScript           = redis.NewScript(markSource)
	createGroupScript    = redis.NewScript(createGroupSource)
	trimScript           = redis.NewScript(trimSource)
	deleteConsumerScript = redis.NewScript(deleteConsumerSource)
	lagScript            = redis.NewScript(lagSource)
)

// errReply is a reply that is not of the documented form.
var errReply = errors.New("streams: unexpected reply from Redis")

// isNoGroup tells whether the group is missing, also when it vanished under a blocked read.
func isNoGroup(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "NOGROUP") || strings.HasPrefix(err.Error(), "UNBLOCKED"))
}

// isRefusal tells whether Redis itself answered with an error, so that the command surely had no effect. Any other
// error leaves that open.
func isRefusal(err error) bool {
	var refusal redis.Error
	return errors.As(err, &refusal)
}

// commitReply is what commit.lua did.
type commitReply struct {
	outcomes  string
	cut       int64
	fault     string
	badGrants int64
	deadCut   int64
}

func (c *Consumer) runCommit(ctx context.Context, batch []*entry) (commitReply, error) {
	nKeys, nArgs := 5, 7
	for _, e := range batch {
		nKeys += len(e.keys)
		nArgs += len(e.args)
	}
	names := make([]string, 0, nKeys)
	names = append(names, c.keys.events, c.keys.log, c.keys.dead, c.keys.committed, c.keys.grantIndex)
	args := make([]any, 0, nArgs)
	args = append(args, c.cfg.Group, c.cfg.LogMaxAge.Milliseconds(), c.cfg.LogMaxEntries,
		c.cfg.DedupeTTL.Milliseconds(), c.cfg.GrantTTL.Milliseconds(), c.cfg.DeadMaxEntries, len(batch))
	for _, e := range batch {
		names = append(names, e.keys...)
		for i := range e.args {
			args = append(args, &e.args[i]) // a pointer spares the copy that an interface would make
		}
	}
	reply, err := commitScript.Run(ctx, c.rdb, names, args...).Slice()
	if err != nil {
		return commitReply{}, err
	}
	var r commitReply
	if len(reply) != 5 {
		return r, fmt.Errorf("%w: commit: %d elements", errReply, len(reply))
	}
	var ok [5]bool
	r.outcomes, ok[0] = reply[0].(string)
	r.cut, ok[1] = reply[1].(int64)
	r.fault, ok[2] = reply[2].(string)
	r.badGrants, ok[3] = reply[3].(int64)
	r.deadCut, ok[4] = reply[4].(int64)
	if ok != [5]bool{true, true, true, true, true} || len(r.outcomes) > len(batch) {
		return commitReply{}, fmt.Errorf("%w: commit: %.100v", errReply, reply)
	}
	return r, nil
}

// runClaim runs one of the claim scripts, which answer alike.
func (c *Consumer) runClaim(ctx context.Context, script *redis.Script, args ...any) ([]delivery, int64, error) {
	// A claim that was sent is heard out, since its entries are pending on this consumer.
	reply, err := script.Run(context.WithoutCancel(ctx), c.rdb, []string{c.keys.events}, args...).Slice()
	if err != nil {
		return nil, 0, err
	}
	if len(reply) != 2 {
		return nil, 0, fmt.Errorf("%w: claim: %d elements", errReply, len(reply))
	}
	entries, ok := reply[0].([]any)
	lost, isCount := reply[1].(int64)
	if !ok || !isCount {
		return nil, 0, fmt.Errorf("%w: claim: %.100v", errReply, reply)
	}
	claimed, err := decodeDeliveries(entries)
	return claimed, lost, err
}

// decodeDeliveries reads [[id, [field, value, …], number?], …]; without a number it is a first delivery.
func decodeDeliveries(reply []any) ([]delivery, error) {
	out := make([]delivery, 0, len(reply))
	for _, item := range reply {
		parts, _ := item.([]any)
		if len(parts) < 2 {
			return nil, fmt.Errorf("%w: entry: %.100v", errReply, item)
		}
		d := delivery{number: 1}
		d.id, _ = parts[0].(string)
		at, ok := parseStreamID(d.id)
		flat, isList := parts[1].([]any)
		if !ok || !isList {
			return nil, fmt.Errorf("%w: entry: %.100v", errReply, item)
		}
		d.at = at
		d.pairs = make([]string, len(flat))
		for i, v := range flat {
			if d.pairs[i], ok = v.(string); !ok {
				return nil, fmt.Errorf("%w: entry %s: %.100v", errReply, d.id, v)
			}
		}
		if len(parts) > 2 {
			if d.number, ok = parts[2].(int64); !ok {
				return nil, fmt.Errorf("%w: entry %s: %.100v", errReply, d.id, parts[2])
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// decodeRead reads an XREADGROUP reply of one stream: a list of pairs in RESP2, a map in RESP3.
func decodeRead(reply any) ([]delivery, error) {
	switch streams := reply.(type) {
	case []any:
		if len(streams) == 1 {
			if pair, ok := streams[0].([]any); ok && len(pair) == 2 {
				if entries, isList := pair[1].([]any); isList {
					return decodeDeliveries(entries)
				}
			}
		}
	case map[any]any:
		for _, entries := range streams {
			if list, ok := entries.([]any); ok && len(streams) == 1 {
				return decodeDeliveries(list)
			}
		}
	}
	return nil, fmt.Errorf("%w: XREADGROUP: %.100v", errReply, reply)
}
