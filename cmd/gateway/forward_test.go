package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/engine"
	"github.com/teloo/realtime-gateway/node/gossip"
)

func TestSessionsAreLookedUpAmongTheMembers(t *testing.T) {
	member := func(identity, name, addr string, draining bool) gossip.Member {
		return gossip.Member{Identity: identity, Meta: gossip.Meta{Name: name, Addr: addr, Draining: draining}}
	}
	members := []gossip.Member{
		member("a:100", "a", "10.0.0.1:8003", false),
		member("b:300", "b", "10.0.0.3:8003", true), // draining ones still serve their sessions
		member("b:200", "b", "10.0.0.2:8003", false),
		member("c:1", "", "10.0.0.4:8003", false),
	}
	var changes uint64
	owners := &sessionOwners{members: func() []gossip.Member { return members }, changes: func() uint64 { return changes }}
	for name, want := range map[string]string{"a": "10.0.0.1:8003", "b": "10.0.0.3:8003", "c": "", "": ""} {
		require.Equal(t, want, owners.address(engine.TagOf(name)), name)
	}
	members = append(members[1:], member("d:1", "d", "10.0.0.5:8003", false))
	changes++
	for name, want := range map[string]string{"a": "", "b": "10.0.0.3:8003", "d": "10.0.0.5:8003"} {
		require.Equal(t, want, owners.address(engine.TagOf(name)), "%s, after a change", name)
	}
}

func TestOtherNodesAreWaitedForLongerThanAPollLasts(t *testing.T) {
	c := defaultConfig()
	c.ClusterSecret = "0123456789abcdef0123456789abcdef"
	f := c.forwardConfig()
	require.NoError(t, f.Validate())
	require.Greater(t, f.AnswerTimeout, c.PingInterval+c.PingTimeout)
	require.EqualValues(t, c.MaxPayload, f.MaxPayload)
	require.False(t, f.Off)
	require.Less(t, f.IdleTimeout, newWebServer(nil, slog.New(slog.DiscardHandler)).IdleTimeout, "the node that asks closes first")
	require.Less(t, f.DialTimeout, 2*time.Second)
}

func TestAddressForOtherNodesIsThatOfGossip(t *testing.T) {
	for advertise, want := range map[string]string{
		"10.0.0.9": "10.0.0.9:8003", "10.0.0.9:7000": "10.0.0.9:8003", "fd00::9": "[fd00::9]:8003", "[fd00::9]:7000": "[fd00::9]:8003",
		"pod-0.gateway": "pod-0.gateway:8003",
	} {
		c := parseConfig(map[string]string{"CLUSTER_ADVERTISE": advertise, "CLUSTER_SEEDS": "gateway"}).Config
		require.Equal(t, want, c.AdvertiseAddr, advertise)
	}
	c := parseConfig(map[string]string{"CLUSTER_ADVERTISE": "10.0.0.9", "CLUSTER_SEEDS": "gateway", "HOST": "10.0.0.8"}).Config
	require.Equal(t, "10.0.0.8:8003", c.AdvertiseAddr, "which it listens at")
}

// BenchmarkSessionOwner is what finding a session's node costs a request that is passed on.
func BenchmarkSessionOwner(b *testing.B) {
	for _, size := range []int{3, 50} {
		all := make([]gossip.Member, size)
		for i := range all {
			name := fmt.Sprintf("gateway-%d", i)
			all[i] = gossip.Member{Identity: name + ":1700000000000", Meta: gossip.Meta{Name: name, Addr: name + ":8003"}}
		}
		owners := &sessionOwners{members: func() []gossip.Member { return slices.Clone(all) }, changes: func() uint64 { return 1 }}
		tag := engine.TagOf("gateway-1")
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if owners.address(tag) == "" {
					b.Fatal("not found")
				}
			}
		})
	}
}
