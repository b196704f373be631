package adapter

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAListenerHearsItsRoomInOrderAndIsNoSocket(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	heard := make(chan string, 16)
	_, err := f.cluster.Listen("/nowhere", "r", nil)
	require.Error(t, err)
	stop, err := f.cluster.Listen("/", "r", func(args []byte) { heard <- string(args) })
	require.NoError(t, err)
	f.add("*", "one", "5-1")
	f.add("*", "again", "5-1")
	f.fields("*", otherRoom(t))
	f.fields("*", everyone(t))
	f.add("*", "two", "5-2")
	f.client.expect(events("one", "all", "two")...)
	for _, want := range []string{"one", "two"} {
		require.Regexp(t, `^\["`+want+`","\d+-\d+"\]$`, <-heard)
	}
	require.Empty(t, heard)
	require.Len(t, f.io.Sockets().Sockets().Keys(), 1)
	require.Equal(t, 1, f.cluster.adapterOf("/").Sids().Len())
	stop()
	f.add("*", "three", "5-3")
	f.client.expect(events("one", "all", "two", "three")...)
	require.Empty(t, heard)
}

func otherRoom(t *testing.T) []string {
	return broadcast(t, Broadcast{Event: "other", Rooms: []string{"q"}})
}

func everyone(t *testing.T) []string { return broadcast(t, Broadcast{Event: "all"}) }

func broadcast(t *testing.T, b Broadcast) []string {
	t.Helper()
	fields, err := EncodeBroadcast("core:1", b)
	require.NoError(t, err)
	return fields
}

func TestUnreadTellsHowLongTheReaderIsBehind(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	f.add("*", "one", "5-1")
	f.client.expect(events("one")...)
	unread := func() time.Duration {
		behind, err := f.cluster.Unread(context.Background())
		require.NoError(t, err)
		return behind
	}
	require.Zero(t, unread())
	f.cutOff()
	f.add("*", "two", "5-2")
	eventually(t, "behind", func() bool { return unread() > 200*time.Millisecond })
	f.proxy.setCut(false)
	f.client.expect(events("one", "two")...)
	require.Zero(t, unread())
}

// A reader that hangs while it delivers holds the delivery lock: that it is behind has to be told all the same.
func TestWhatIsUnreadIsToldWhileADeliveryHangs(t *testing.T) {
	f := startFollower(t, testConfig("a:1"))
	f.add("*", "one", "5-1")
	f.client.expect(events("one")...)
	hung, release := make(chan struct{}), make(chan struct{})
	stop, err := f.cluster.Listen("/", "r", func([]byte) { close(hung); <-release })
	require.NoError(t, err)
	defer stop()
	f.add("*", "two", "5-2")
	<-hung
	defer close(release)
	f.add("*", "three", "5-3")
	told := make(chan Stats, 1)
	go func() {
		for behind := time.Duration(0); behind < 200*time.Millisecond; {
			behind, _ = f.cluster.Unread(context.Background())
		}
		told <- f.cluster.Stats()
	}()
	select {
	case stats := <-told:
		require.NotEmpty(t, stats.Position)
	case <-time.After(5 * time.Second):
		require.Fail(t, "the delivery lock is waited for")
	}
}

// The length of a frame of 91 bytes is an opening bracket.
func TestAListenerHearsMessagesOfAnyLength(t *testing.T) {
	for size := range 1000 {
		body := packetBody{array: []byte(`["e","` + strings.Repeat("x", size) + `"]`)}
		var heard string
		listener{func(args []byte) { heard = string(args) }}.WriteFrames(newFrame("/", body, flags{}).frames, false, false)
		require.Equal(t, string(body.array), heard)
	}
}
