package adapter

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// quickly makes a master ask a replica for a new copy soon after a break.
var quickly = []string{"--repl-diskless-sync-delay", "0"}

// waiting makes a node that waits for one replica.
func waiting(uid string, limit time.Duration) Config {
	cfg := testConfig(uid)
	cfg.WaitReplicas, cfg.WaitTimeout = 1, limit
	return cfg
}

// saying is a log.
type saying struct {
	mu   sync.Mutex
	text bytes.Buffer // mu
}

func (s *saying) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *saying) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.text.String(), text)
}

// setTarget leads the connections to come elsewhere.
func (p *proxy) setTarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

func TestNothingIsDeliveredThatNoReplicaHas(t *testing.T) {
	master := redistest.Start(t, quickly...)
	replica := redistest.StartReplica(t, master.Addr())
	l := logger{t, master.Client()}
	n := startNode(t, master.Addr(), waiting("a:1", 0))
	c := n.connect("r")
	l.add("*", "one", "5-1")
	c.expect(events("one")...)

	replica.Pause()
	l.add("*", "two", "5-2")
	require.Never(t, func() bool { return c.count() > 1 }, 1500*time.Millisecond, 20*time.Millisecond)
	unread, err := n.cluster.Unread(t.Context())
	require.NoError(t, err)
	require.Zero(t, unread, "what is held back has been read: or all nodes would be deaf at once")
	replica.Resume()
	c.expect(events("one", "two")...)
	require.Zero(t, n.cluster.Stats().WithoutReplicas)
	require.Zero(t, n.cluster.Stats().Duplicates)
}

func TestDeliveryGoesOnWithoutReplicasAndWaitsAgain(t *testing.T) {
	master := redistest.Start(t, quickly...)
	replica := redistest.StartReplica(t, master.Addr())
	l := logger{t, master.Client()}
	var said saying
	n := startNode(t, master.Addr(), waiting("a:1", 200*time.Millisecond), func(d *Deps) {
		d.Log = slog.New(slog.NewTextHandler(&said, nil))
	})
	c := n.connect("r")
	replica.Kill()
	l.add("*", "one", "5-1")
	c.expect(events("one")...)
	require.Equal(t, uint64(1), n.cluster.Stats().WithoutReplicas)
	begin := time.Now()
	l.add("*", "two", "5-2")
	c.expect(events("one", "two")...)
	require.Less(t, time.Since(begin), 150*time.Millisecond, "waited only once")

	replica.Launch()
	// It waits again once the replica keeps up; then a paused one holds up the next entry.
	eventually(t, "asks the replica again", func() bool {
		l.add("*", "more", "")
		return said.has("waiting for the replicas of Redis again")
	})
	replica.Pause()
	before := c.count()
	l.add("*", "three", "5-3")
	eventually(t, "goes on without", func() bool { return n.cluster.Stats().WithoutReplicas == 2 })
	eventually(t, "delivered", func() bool { return c.count() > before })
	replica.Resume()
}

// TestAFailoverTakesNothingBack: what the master alone had was sent to nobody, and comes once when it is committed anew.
func TestAFailoverTakesNothingBack(t *testing.T) {
	for _, wait := range []int{1, 0} {
		master := redistest.Start(t, quickly...)
		link, proxy := startProxy(t, master.Addr()), startProxy(t, master.Addr())
		replica := redistest.StartReplica(t, link.ln.Addr().String())
		cfg := waiting("a:1", 0)
		cfg.WaitReplicas = wait
		n := startNode(t, master.Addr(), cfg, proxy.through())
		c := n.connect("r")
		l := logger{t, redis.NewClient(&redis.Options{Addr: master.Addr(), MaxRetries: -1, PoolSize: 1})}
		defer func() { _ = l.c.Close() }()
		l.add("*", "one", "5-1")
		c.expect(events("one")...)

		have, err := l.c.Wait(t.Context(), 1, patience).Result()
		require.NoError(t, err)
		require.Equal(t, int64(1), have)
		link.setCut(true)
		l.add("*", "lost", "5-2")
		if wait == 0 {
			c.expect(events("one", "lost")...)
		}
		require.Never(t, func() bool { return c.count() > 2-wait }, 500*time.Millisecond, 20*time.Millisecond)
		proxy.setCut(true)
		master.Kill()
		replica.Promote()
		redistest.StartReplica(t, replica.Addr())
		proxy.setTarget(replica.Addr())
		proxy.setCut(false)
		after := logger{t, replica.Client()}
		after.add("*", "instead", "5-3")
		if wait == 0 {
			c.expect(events("one", "lost", "instead")...)
			require.Equal(t, uint64(1), n.cluster.Stats().WentBack)
			continue
		}
		c.expect(events("one", "instead")...)
		require.Zero(t, n.cluster.Stats().WentBack)
	}
}

func TestReplicasThatKeepUp(t *testing.T) {
	require.Equal(t, 2, keepUp("# Replication\r\nrole:master\r\nconnected_slaves:5\r\n"+
		"slave0:ip=127.0.0.1,port=1,state=online,offset=56,lag=0\r\n"+
		"slave1:ip=::1,port=2,state=online,offset=56,lag=2,io-thread=0\r\n"+
		"slave2:ip=127.0.0.1,port=3,state=online,offset=5,lag=9\r\n"+
		"slave3:ip=127.0.0.1,port=4,state=wait_bgsave,offset=0,lag=0\r\n"+
		"slave4:ip=127.0.0.1,port=5,state=online,offset=0,lag=-1\r\nslave_expires:0\r\n"))
}
