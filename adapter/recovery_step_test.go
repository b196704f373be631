package adapter

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// intruder delivers an entry of the log whenever a resume lets it: wherever the delivery lock is free while one is under
// way. Its own locking does not count.
type intruder struct {
	t      *testing.T
	reader *reader
	busy   atomic.Bool
	armed  atomic.Bool

	mu     sync.Mutex
	number int      // mu
	told   []string // mu
}

func (i *intruder) tell() {
	i.busy.Store(true)
	defer i.busy.Store(false)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.number++
	name := fmt.Sprint("e", i.number)
	i.told = append(i.told, name)
	fields, err := EncodeBroadcast("core:1", Broadcast{Event: name, Rooms: []string{"r"}})
	require.NoError(i.t, err)
	entry := rawOf(fieldMap(fields))
	entry.id = streamID{ms: 100, seq: uint64(i.number)}
	i.reader.handle(entry)
}

func (i *intruder) intrude() {
	if i.armed.Load() && !i.busy.Load() {
		i.tell()
	}
}

func (i *intruder) names() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string{"|"}, i.told...)
}

// Resuming is one step with the log's position. Were what was missed computed before the lock, or the socket put into
// its rooms after the lock had been let go, an entry in between would be lost, repeated or come ahead of the replay.
func TestResumeIsOneStepWithTheLog(t *testing.T) {
	server := redistest.Start(t)
	l := prepareLobby(t, server.Addr(), testConfig("a:1"))
	c := l.cluster
	i := &intruder{t: t, reader: newReader(c)}
	i.reader.setPosition(streamID{ms: 1})
	c.ring.reset(streamID{ms: 1})
	c.deliverMu.contend = i.intrude
	l.atConnect = func(s *socket.Socket) { i.armed.Store(s.Recovered()) }
	l.inHello = i.intrude
	_ = c.adapterOf("/").On("join-room", func(...any) {
		// Within the step; unless the lock is free, no entry can come now.
		if i.armed.Load() && c.deliverMu.TryLock() {
			c.deliverMu.Mutex.Unlock()
			i.intrude()
		}
	})
	// The node runs without a reader: entries are delivered by the intruder alone.
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for _, part := range []func(context.Context){c.sessions.write, c.sessions.loads.run, c.sessions.takes.run} {
		group.Go(func() { part(ctx) })
	}
	t.Cleanup(func() {
		l.io.Close(nil)
		l.http.CloseClientConnections()
		l.http.Close()
		cancel()
		group.Wait()
	})
	v := newVisitor(t, "u", "r")
	v.mustVisit(l, false)
	i.tell()
	i.tell()
	for round := range 5 {
		v.expect(i.names()...)
		v.stored(server.Client(), isLive)
		v.cut()
		i.tell() // missed
		i.tell()
		before := len(i.names())
		v.mustVisit(l, true)
		i.armed.Store(false)
		require.GreaterOrEqual(t, len(i.names()), before+3, "the intruder came before, in and after the step; round %d", round)
		i.tell() // as usual
	}
	v.expect(i.names()...)
}
