package streams

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/fenced.lua
var fencedSource string

var fencedScript = redis.NewScript(fencedSource)

// ErrNotHeld is returned by AppendFenced when the lease is not the caller's: nothing was appended.
var ErrNotHeld = errors.New("streams: the lease is not held")

// Payload is an event as it came by other ways than the stream, unchecked: a JSON object with the keys of the contract.
type Payload struct {
	// Channel is what it came by. It is kept beside the event, for those who find it among the dead letters.
	Channel string
	JSON    string
}

// AppendFenced appends events to the stream, in order, if the key lease has that value while it does; else the error is
// ErrNotHeld. The events are checked when they are read, and become dead letters if there is something wrong with them.
// It returns how many were appended. After another error than Redis' own refusal of an event that is not known, and is 0;
// nothing is sent twice. The lease's key needs the prefix' hash tag.
func (p *Publisher) AppendFenced(ctx context.Context, lease, value string, events []Payload) (int, error) {
	args := make([]any, 0, 1+2*len(events))
	args = append(args, value)
	for _, ev := range events {
		args = append(args, ev.Channel, ev.JSON)
	}
	reply, err := fencedScript.Run(ctx, p.rdb, []string{lease, p.events}, args...).Slice()
	if err != nil {
		return 0, err
	}
	if len(reply) != 3 {
		return 0, fmt.Errorf("%w: fenced: %d elements", errReply, len(reply))
	}
	held, _ := reply[0].(int64)
	appended, _ := reply[1].(int64)
	refused, _ := reply[2].(string)
	switch {
	case held != 1:
		return 0, ErrNotHeld
	case refused != "":
		return int(appended), fmt.Errorf("streams: fenced: %s", refused)
	}
	return int(appended), nil
}
