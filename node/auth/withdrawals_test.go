package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// told is what a node was told of withdrawals: each as solicitud/user, "all" for an empty list.
type told struct {
	mu   sync.Mutex
	log  []string // mu
	fail int      // mu: how many times to answer with an error
}

func (o *told) note(_ context.Context, list []Withdrawal) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail > 0 {
		o.fail--
		o.log = append(o.log, "failed")
		return errors.New("no Redis")
	}
	if len(list) == 0 {
		o.log = append(o.log, "all")
	}
	for _, w := range list {
		o.log = append(o.log, w.Solicitud+"/"+w.User)
	}
	return nil
}

func (o *told) all() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.log, " ")
}

func (o *told) becomes(t *testing.T, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return o.all() == want }, patience, time.Millisecond, "%s", want)
}

// following runs a node's Withdrawals until the test ends.
func following(t *testing.T, client redis.UniversalClient, change func(*WithdrawalsConfig)) *told {
	t.Helper()
	o := &told{}
	cfg := DefaultWithdrawalsConfig()
	cfg.Poll, cfg.OnWithdrawn = 5*time.Millisecond, o.note
	if change != nil {
		change(&cfg)
	}
	w, err := NewWithdrawals(cfg, client, quiet())
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return o
}

func granted(t *testing.T, g *Grants, solicitud, user string) bool {
	t.Helper()
	yes, err := g.Granted(t.Context(), solicitud, user)
	require.NoError(t, err)
	return yes
}

func TestGrantAndWithdraw(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		g := NewGrants(client, "{teloo}", quiet())
		ctx := t.Context()
		one, two := following(t, client, nil), following(t, client, nil)
		one.becomes(t, "all")
		two.becomes(t, "all")
		require.NoError(t, g.Grant(ctx, "s/1", "u", time.Hour))
		require.True(t, granted(t, g, "s/1", "u"))
		before, err := client.ZScore(ctx, "{teloo}:grants:s%2F1", "u").Result()
		require.NoError(t, err)
		require.NoError(t, g.Grant(ctx, "s/1", "u", time.Minute))
		after, err := client.ZScore(ctx, "{teloo}:grants:s%2F1", "u").Result()
		require.NoError(t, err)
		require.Equal(t, before, after, "a shorter one takes nothing away") //nolint:testifylint // the same number
		indexed, err := client.ZScore(ctx, "{teloo}:grants", "s%2F1").Result()
		require.NoError(t, err)
		require.Equal(t, before, indexed, "it will be swept") //nolint:testifylint // the same number

		require.NoError(t, g.Withdraw(ctx, "s/1", "u"))
		require.False(t, granted(t, g, "s/1", "u"))
		require.NoError(t, g.Withdraw(ctx, "s/1", "u"), "repeating it is harmless")
		one.becomes(t, "all s/1/u s/1/u")
		two.becomes(t, "all s/1/u s/1/u")
		late := following(t, client, nil)
		late.becomes(t, "all")
	})
}

func TestBadGrants(t *testing.T) {
	client := redistest.Start(t).Client()
	g := NewGrants(client, "{teloo}", quiet())
	ctx := t.Context()
	for _, err := range []error{
		g.Grant(ctx, "", "u", time.Hour), g.Grant(ctx, "s", "\n", time.Hour), g.Grant(ctx, "s", "u", 0), g.Grant(ctx, "s", "u", -1),
		g.Withdraw(ctx, "", "u"), g.Withdraw(ctx, "s", strings.Repeat("x", maxID+1)),
	} {
		require.ErrorIs(t, err, ErrBadGrant)
	}
	keys, err := client.Keys(ctx, "*").Result()
	require.NoError(t, err)
	require.Empty(t, keys)
}

// The Core API withdraws by plain commands, and writes whatever it likes.
func TestPlainWithdrawalsAreSeenWithinASecond(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	o := following(t, client, func(c *WithdrawalsConfig) { c.Poll = DefaultWithdrawalsConfig().Poll })
	o.becomes(t, "all")
	withdraw := func(values ...any) {
		_, err := client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
			tx.ZRem(ctx, "{teloo}:grants:1", "u")
			tx.XAdd(ctx, &redis.XAddArgs{Stream: "{teloo}:withdrawn", MaxLen: 10_000, Approx: true, Values: values})
			return nil
		})
		require.NoError(t, err)
	}
	withdraw("solicitud", "1")
	withdraw("text", "x")
	began := time.Now()
	withdraw("solicitud", "1", "user", "u", "why", "left")
	o.becomes(t, "all 1/u")
	require.Less(t, time.Since(began), time.Second)
}

func TestNoWithdrawalIsMissedInAnOutage(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client := server.Client()
	g := NewGrants(client, "{teloo}", quiet())
	o := following(t, client, nil)
	o.becomes(t, "all")
	require.NoError(t, g.Withdraw(t.Context(), "1", "u"))
	o.becomes(t, "all 1/u")
	server.Kill()
	require.Error(t, g.Withdraw(t.Context(), "2", "u"))
	server.Launch()
	require.NoError(t, g.Withdraw(t.Context(), "3", "u"))
	o.becomes(t, "all 1/u 3/u")
}

func TestWhatCouldNotBeLookedAtIsToldAgain(t *testing.T) {
	client := redistest.Start(t).Client()
	g := NewGrants(client, "{teloo}", quiet())
	o := following(t, client, nil)
	o.becomes(t, "all")
	o.mu.Lock()
	o.fail = 1
	o.mu.Unlock()
	require.NoError(t, g.Withdraw(t.Context(), "1", "u"))
	o.becomes(t, "all failed 1/u")
}

// Who cannot tell what was missed has everything looked at.
func TestMissedNoticesHaveEverythingLookedAt(t *testing.T) {
	for name, lose := range map[string]func(context.Context, *redis.Client) error{
		"flushed": func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() },
		"trimmed": func(ctx context.Context, c *redis.Client) error {
			return c.XTrimMaxLen(ctx, WithdrawalsKey("{teloo}"), 0).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := redistest.Start(t).Client()
			g := NewGrants(client, "{teloo}", quiet())
			require.NoError(t, g.Withdraw(t.Context(), "0", "u"))
			o := following(t, client, nil)
			o.becomes(t, "all")
			require.NoError(t, lose(t.Context(), client))
			o.becomes(t, "all all")
			require.NoError(t, g.Withdraw(t.Context(), "1", "u"))
			o.becomes(t, "all all 1/u")
		})
	}
}

func TestManyWithdrawalsComeInOrder(t *testing.T) {
	client := redistest.Start(t).Client()
	ctx := t.Context()
	o := following(t, client, nil)
	o.becomes(t, "all")
	want := []string{"all"}
	_, err := client.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		for i := range 2*withdrawalsPage + 7 {
			user := "u" + strings.Repeat("x", i%3)
			want = append(want, "1/"+user)
			tx.XAdd(ctx, &redis.XAddArgs{Stream: WithdrawalsKey("{teloo}"), Values: []string{"solicitud", "1", "user", user}})
		}
		return nil
	})
	require.NoError(t, err)
	o.becomes(t, strings.Join(want, " "))
}

func TestWithdrawalsConfig(t *testing.T) {
	_, err := NewWithdrawals(WithdrawalsConfig{}, nil, quiet())
	for _, fault := range []string{"prefix", "poll", "nobody"} {
		require.ErrorContains(t, err, fault)
	}
}
