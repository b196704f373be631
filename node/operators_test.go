package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
)

func TestAUsersSocketsAreListedAndDisconnected(t *testing.T) {
	r := newRig(t, nil)
	mine, _ := r.connect("client:c")
	_, _ = r.connect("client:d")
	found, err := r.UserSockets(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, found, 1)
	s := found[0]
	require.NotEmpty(t, s.ID)
	require.Equal(t, []string{r.cfg.Name, "client"}, []string{s.Node, s.Role})
	require.Contains(t, s.Address, "127.0.0.1")
	require.WithinDuration(t, time.Now(), s.Connected, time.Minute)
	require.ElementsMatch(t, []string{"client", "user_c"}, s.Rooms)

	r.DisconnectUser("c")
	require.Equal(t, "1", mine.next(), "DISCONNECT: the stock client stays away")
	r.eventually("gone", func() bool { return r.presence.user("client:c") == 0 })
	require.Equal(t, 1, r.presence.user("client:d"))
	found, err = r.UserSockets(t.Context(), "c")
	require.NoError(t, err)
	require.Empty(t, found)
}

// silent is an adapter of a cluster whose other nodes do not answer.
type silent struct {
	socket.AdapterBuilder
	err  error
	hold chan struct{}
}

type silentAdapter struct {
	socket.Adapter
	of *silent
}

func (s *silent) New(nsp socket.Namespace) socket.Adapter {
	return &silentAdapter{s.AdapterBuilder.New(nsp), s}
}

func (a *silentAdapter) FetchSockets(*socket.BroadcastOptions) func(func([]socket.SocketDetails, error)) {
	return func(answer func([]socket.SocketDetails, error)) {
		<-a.of.hold
		answer(nil, a.of.err)
	}
}

func TestAListThatIsNotCompleteIsAnError(t *testing.T) {
	others := &silent{err: errors.New("one is silent"), hold: make(chan struct{})}
	r := newRig(t, func(_ *Config, d *Deps) { d.Adapter = others })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.UserSockets(ctx, "c")
	require.ErrorIs(t, err, context.Canceled)
	close(others.hold)
	_, err = r.UserSockets(t.Context(), "c")
	require.ErrorIs(t, err, ErrUnanswered)
}
