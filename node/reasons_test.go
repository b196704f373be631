package node

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/engine"
)

func TestEndReasons(t *testing.T) {
	known := EndReasons()
	for _, tc := range []struct {
		why  ending
		args []any
		want string
	}{
		{want: "early"},
		{args: []any{"client namespace disconnect"}, want: "client"},
		{args: []any{"transport close"}, want: "transport_close"},
		{args: []any{"transport error", errors.New("reset")}, want: "transport_error"},
		{args: []any{"transport error", engine.ErrSlowConsumer}, want: "slow_consumer"},
		{args: []any{"ping timeout", nil}, want: "ping_timeout"},
		{args: []any{"something new"}, want: "other"},
		{args: []any{7}, want: "other"},
		{why: endedRevoked, args: []any{"server namespace disconnect"}, want: "token_revoked"},
		{why: endedDrain, args: []any{"forced close"}, want: "drain"},
	} {
		s := &session{}
		s.ending.Store(uint32(tc.why))
		require.Equal(t, tc.want, s.endReason(tc.args))
		require.Contains(t, known, tc.want)
	}
	for _, reason := range endings[endedDrain:] {
		require.NotEmpty(t, reason)
	}
}
