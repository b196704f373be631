package streams

import (
	"encoding/json"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestOnARedisCluster(t *testing.T) {
	r := rigAt(t, redistest.Start(t, "--cluster-enabled", "yes").Addr())
	require.NoError(t, r.rdb.Do(t.Context(), "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	r.eventually("cluster formed", func() bool { return r.rdb.Exists(t.Context(), r.keys.events).Err() == nil })
	onCluster := func(_ *Config, d *Deps) {
		client := func() redis.UniversalClient {
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.addr}, MaxRetries: -1, MaxRedirects: -1})
			t.Cleanup(func() { _ = c.Close() })
			return c
		}
		d.Redis, d.Blocking = client(), client()
		d.Handle = func(ev Event) (Relay, error) {
			relay, err := rigHandle(ev)
			relay.Grants = []Grant{{Solicitud: "7", User: "u"}}
			return relay, err
		}
	}
	nodes := []*rigNode{r.start("a:1", onCluster), r.start("b:1", onCluster)}
	ids, err := NewPublisher(r.rdb, "{teloo}").Publish(t.Context(),
		Event{Name: "oferta_made", Data: json.RawMessage(`{}`), EventID: "1"},
		Event{Name: "oferta_made", Data: json.RawMessage(`{}`), EventID: "1"},
		Event{Name: "oferta_made", Data: json.RawMessage(`{}`)})
	require.NoError(t, err)
	want := append([]string{ids[0], ids[2]}, r.publish(500)...)
	bad := r.add("event", "none", "data", "{}")
	r.settled(want)
	r.eventually("dead", func() bool { return len(r.dead()) == 1 })
	require.Equal(t, bad, r.dead()[0].Values["dead_source_id"])
	require.NoError(t, r.rdb.ZScore(t.Context(), r.keys.grants+"7", "u").Err())
	require.Equal(t, uint64(1), rigEach(nodes, func(s Stats) uint64 { return s.Duplicates }))
}
