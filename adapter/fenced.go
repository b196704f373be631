package adapter

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed fenced.lua
var fencedSource string

var fencedScript = redis.NewScript(fencedSource)

// ErrNotHeld is returned by AppendFenced when the lease is not the caller's: nothing was appended.
var ErrNotHeld = errors.New("adapter: the lease is not held")

// AppendFenced appends entries to the log, in order, if the key lease has that value while it does; else the error is
// ErrNotHeld. It returns how many were appended. After another error than Redis' own refusal of an entry that is not
// known, and is 0; nothing is sent twice. The lease's key needs the log's hash tag.
func (c *Cluster) AppendFenced(ctx context.Context, lease, value string, entries [][]string) (int, error) {
	args := make([]any, 0, 3+9*len(entries))
	args = append(args, value, c.publisher.oldest(), len(entries))
	for _, fields := range entries {
		args = append(args, len(fields))
		for _, f := range fields {
			args = append(args, f)
		}
	}
	reply, err := fencedScript.Run(ctx, c.redis, []string{lease, c.logKey}, args...).Slice()
	if err != nil {
		c.count.publishFailed.Add(uint64(len(entries)))
		return 0, err
	}
	if len(reply) != 3 {
		return 0, fmt.Errorf("fenced script: reply of %d parts", len(reply))
	}
	held, _ := reply[0].(int64)
	appended, _ := reply[1].(int64)
	refused, _ := reply[2].(string)
	c.count.published.Add(uint64(max(appended, 0)))
	if held != 1 { // nothing has failed: it is another's to append
		return 0, ErrNotHeld
	}
	c.count.publishFailed.Add(uint64(max(int64(len(entries))-appended, 0)))
	if refused != "" {
		return int(appended), fmt.Errorf("fenced script: %s", refused)
	}
	return int(appended), nil
}
