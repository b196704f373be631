package presence

import (
	_ "embed" // the scripts
	"encoding/json"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed beat.lua
	beatSource string
	// fieldsSource is no script: those that change counts begin with it.
	//go:embed fields.lua
	fieldsSource string
	//go:embed users.lua
	usersSource string
	//go:embed rooms.lua
	roomsSource string
	//go:embed leave.lua
	leaveSource string
	//go:embed mark.lua
	markSource string
	//go:embed reap.lua
	reapSource string
	//go:embed finish.lua
	finishSource string
	//go:embed due.lua
	dueSource string
	//go:embed left.lua
	leftSource string
	//go:embed stats.lua
	statsSource string
)

var (
	beatScript   = redis.NewScript(beatSource)
	usersScript  = redis.NewScript(fieldsSource + usersSource)
	roomsScript  = redis.NewScript(fieldsSource + roomsSource)
	leaveScript  = redis.NewScript(leaveSource)
	markScript   = redis.NewScript(markSource)
	reapScript   = redis.NewScript(fieldsSource + reapSource)
	finishScript = redis.NewScript(finishSource)
	dueScript    = redis.NewScript(dueSource)
	leftScript   = redis.NewScript(fieldsSource + leftSource)
	statsScript  = redis.NewScript(statsSource)
)

// entry is a node's value in the hash of nodes. Times are in ms by Redis' clock.
type entry struct {
	Name        string `json:"name"`
	Addr        string `json:"addr"`
	Version     string `json:"version"`
	Connections int64  `json:"connections"`
	Beat        int64  `json:"beat"`            // last heartbeat
	Seq         int64  `json:"seq"`             // number of the node's last call, so that a late one does nothing
	Reg         int64  `json:"reg"`             // number of the call that registered it
	Since       int64  `json:"since"`           // when it was registered
	Run         string `json:"run,omitempty"`   // the run of Redis on which the node saw its own channel subscribed
	Ended       int64  `json:"ended,omitempty"` // when it was found dead, or left; 0 while it lives
	Done        bool   `json:"done,omitempty"`  // everything it held is subtracted
}

// parseNodes decodes the nodes hash; what isn't an entry of ours is left out.
func parseNodes(raw map[string]string) map[string]entry {
	nodes := make(map[string]entry, len(raw))
	for id, s := range raw {
		var e entry
		if json.Unmarshal([]byte(s), &e) == nil && e.Reg != 0 {
			nodes[id] = e
		}
	}
	return nodes
}

// batch gathers a script call's keys, each once, and its arguments.
type batch struct {
	keys  []string
	index map[string]int
	args  []any
}

func newBatch(size int, keys ...string) *batch {
	return &batch{keys: keys, index: make(map[string]int, size), args: make([]any, 0, 8*size)}
}

// key returns name's place in KEYS.
func (b *batch) key(name string) int {
	i, ok := b.index[name]
	if !ok {
		b.keys = append(b.keys, name)
		i = len(b.keys)
		b.index[name] = i
	}
	return i
}

func (b *batch) add(args ...any) { b.args = append(b.args, args...) }

// announcement returns the log entry of a member's coming or going, nil if there is to be none.
func (p *Presence) announcement(joined bool, k key) []string {
	if p.deps.Announce == nil {
		return nil
	}
	fields := p.deps.Announce(joined, Member{Room: k.room, User: k.user, Role: k.role})
	if len(fields)%2 != 0 {
		p.log.Error("announcement dropped: odd number of strings", "strings", len(fields))
		return nil
	}
	return fields
}
