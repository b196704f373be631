package auth

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func TestGrants(t *testing.T) {
	mini := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = mini.Close() })
	for name, client := range map[string]redis.UniversalClient{"redis": redistest.Start(t).Client(), "miniredis": mini} {
		t.Run(name, func(t *testing.T) {
			g := NewGrants(client, "{teloo}", slog.New(slog.DiscardHandler))
			now := time.UnixMilli(1_700_000_000_000)
			g.now = func() time.Time { return now }
			ctx := t.Context()
			require.NoError(t, client.ZAdd(
				ctx, "{teloo}:grants:s%2F1",
				redis.Z{Score: float64(now.UnixMilli() + 1), Member: "fresh"}, redis.Z{Score: float64(now.UnixMilli()), Member: "stale"},
				redis.Z{Score: math.Inf(1), Member: "for ever"},
			).Err())
			for user, want := range map[string]bool{"fresh": true, "stale": false, "for ever": true, "nobody": false, "": false, "\n": false} {
				granted, err := g.Granted(ctx, "s/1", user)
				require.NoError(t, err)
				require.Equal(t, want, granted, user)
			}
			granted, err := g.Granted(ctx, "", "fresh")
			require.NoError(t, err)
			require.False(t, granted)

			require.NoError(t, client.Set(ctx, "{teloo}:grants:text", "x", 0).Err())
			_, err = g.Granted(ctx, "text", "fresh")
			require.ErrorContains(t, err, "WRONGTYPE")
		})
	}
}

func TestGrantsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	g := NewGrants(server.Client(), "{teloo}", slog.New(slog.DiscardHandler))
	server.Kill()
	_, err := g.Granted(t.Context(), "1", "u")
	require.Error(t, err)
	server.Launch()
	granted, err := g.Granted(t.Context(), "1", "u")
	require.NoError(t, err)
	require.False(t, granted)
}

func TestGrantsKeyEscapes(t *testing.T) {
	require.Equal(t, "{teloo}:grants", GrantsIndex("{teloo}"))
	require.Equal(t, "{teloo}:grants:42", GrantsKey("{teloo}", "42"))
	require.Equal(t, "{teloo}:grants:%7Bx%7D%2F%20", GrantsKey("{teloo}", "{x}/ "))
}

type granter func(solicitud, user string) (bool, error)

func (g granter) Granted(_ context.Context, solicitud, user string) (bool, error) {
	return g(solicitud, user)
}

func TestPolicy(t *testing.T) {
	policy, err := ParsePolicy("admin=any, advisor=granted ,client=none")
	require.NoError(t, err)
	require.Equal(t, Policy{"admin": AccessAny, "advisor": AccessGranted, "client": AccessNone}, policy)
	require.Equal(t, AccessNone, policy.Allow("stranger"))
	require.Equal(t, AccessGranted, DefaultPolicy().Allow("client"))

	down := errors.New("down")
	asked := 0
	grants := granter(func(solicitud, user string) (bool, error) {
		asked++
		if solicitud == "?" {
			return false, down
		}
		return solicitud == "1" && user == "u", nil
	})
	id := Identity{User: "u", Solicitudes: []string{"9"}}
	for _, c := range []struct {
		role, solicitud string
		want            bool
		err             error
		asks            int
	}{
		{"admin", "7", true, nil, 0},
		{"advisor", "9", true, nil, 0},
		{"advisor", "1", true, nil, 1},
		{"advisor", "2", false, nil, 1},
		{"advisor", "?", false, down, 1},
		{"client", "9", false, nil, 0},
		{"stranger", "9", false, nil, 0},
	} {
		asked = 0
		id.Role = c.role
		may, err := policy.MaySubscribe(t.Context(), id, c.solicitud, grants)
		require.ErrorIs(t, err, c.err)
		require.Equal(t, c.want, may, c)
		require.Equal(t, c.asks, asked)
	}
	may, err := Policy{"x": "?"}.MaySubscribe(t.Context(), Identity{Role: "x"}, "1", grants)
	require.NoError(t, err)
	require.False(t, may)

	_, err = ParsePolicy("admin=all,admin,=any,client=any,client=none")
	for _, fault := range []string{`"all"`, `"=any"`, "client stands twice"} {
		require.ErrorContains(t, err, fault)
	}
	_, err = ParsePolicy("")
	require.Error(t, err)
}
