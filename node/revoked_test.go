package node

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// revoking returns a rig and what sets whose tokens are revoked; "unknown": this is not known.
func revoking(t *testing.T, found *earlier) (r *rig, revoke func(string)) {
	state := &atomic.Value{}
	state.Store("")
	if found == nil {
		found = &earlier{}
	}
	found.sessionList = newSessionList()
	r = newRig(t, func(_ *Config, d *Deps) {
		d.Adapter, d.Sessions, d.Revocations = &recovering{found: found}, found.sessionList, revocations{state}
	})
	return r, func(user string) { state.Store(user) }
}

func TestRevokedTokensAreRefused(t *testing.T) {
	r, revoke := revoking(t, nil)
	revoke("c")
	require.Contains(t, r.dial(`{"token":"client:c"}`, nil).next(), `"code":"token_revoked"`)
	require.Equal(t, map[string]uint64{"token_revoked": 1}, r.Stats().RefusedBy)
	_, _ = r.connect("client:d")
	require.Zero(t, r.presence.user("client:c"))
}

func TestWhoseRevocationIsUnknownIsSentAway(t *testing.T) {
	r, revoke := revoking(t, nil)
	revoke("unknown")
	require.Empty(t, r.dial(`{"token":"client:c"}`, nil).next(), "a connect_error would keep the client from reconnecting")
	require.Equal(t, uint64(1), r.Stats().Dismissed)
	revoke("")
	_, _ = r.connect("client:c")
}

func TestRevocationClosesSockets(t *testing.T) {
	found := &earlier{}
	r, revoke := revoking(t, found)
	c, _ := r.connect("client:c")
	other, _ := r.connect("client:d")
	r.CloseRevoked()
	revoke("unknown")
	r.CloseRevoked() // closes nobody: what is not known is not revoked
	revoke("c")
	r.CloseRevoked()
	require.Contains(t, c.next(), `"code":"token_revoked"`)
	require.True(t, strings.HasPrefix(c.next(), "1"), "a kick, after which the client does not reconnect by itself")
	require.Empty(t, c.next())
	r.eventually("nobody is present", func() bool { return r.presence.user("client:c") == 0 })
	require.True(t, found.noted("end"), "its session does not recover")
	require.Equal(t, uint64(1), r.Stats().Revoked)
	require.Equal(t, map[string]uint64{"token_revoked": 1}, r.Stats().Ended)
	require.Equal(t, map[string]uint64{"client": 2}, r.Stats().ConnectedBy)
	require.Equal(t, map[Group]int{{"client", "websocket"}: 1}, r.Census())
	other.send(`42["ping"]`)
	require.Contains(t, other.next(), `"pong"`)
}

// Between the check of a token and the socket's being known to CloseRevoked a revocation must not be missed.
func TestRevocationWhileASocketIsAdmitted(t *testing.T) {
	turn := make(chan struct{})
	state := &atomic.Value{}
	state.Store("")
	list := newSessionList()
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Revocations, d.Sessions, d.Budget = revocations{state}, list, budget{turn: turn}
	})
	c := r.dial(`{"token":"client:c"}`, nil)
	r.eventually("it is being admitted", func() bool { return r.seats.Load() == 1 })
	state.Store("c")
	r.CloseRevoked()
	close(turn)
	var last string
	for m := c.next(); m != ""; m = c.next() {
		last = m
	}
	require.Equal(t, "1", last)
	r.eventually("nobody is present", func() bool { return r.presence.user("client:c") == 0 })
	require.True(t, list.noted("end"))
}

func TestRevokedTokenEndsTheSessionItAsksFor(t *testing.T) {
	for user, noted := range map[string][]string{"c": {"discard"}, "d": nil} {
		found := &earlier{user: user, rooms: []string{"user_c"}}
		r, revoke := revoking(t, found)
		revoke("c")
		c := r.dial(again, nil)
		require.Contains(t, c.next(), `"code":"token_revoked"`)
		c.send("41")
		require.Empty(t, c.next(), "and not one event")
		require.Equal(t, noted, found.log, "only its own")
	}
}
