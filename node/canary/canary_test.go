package canary

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// path is what an event takes on its way, with its faults.
type path struct {
	hear   func([]byte)
	room   string
	refuse atomic.Bool // to write
	lose   atomic.Bool // what was written, before it is heard
	took   time.Duration
	unread atomic.Int64
	failed atomic.Bool // to look for what is unread
	log    bytes.Buffer
}

func (p *path) deps() Deps {
	return Deps{
		Publish: func(_ context.Context, name, room string, data json.RawMessage) error {
			if p.refuse.Load() {
				return errors.New("refused")
			}
			if room == p.room && !p.lose.Load() {
				time.Sleep(p.took)
				p.hear(fmt.Appendf(nil, `[%q,%s,"12-3"]`, name, data))
			}
			return nil
		},
		Listen: func(room string, hear func([]byte)) (func(), error) {
			p.room, p.hear = room, hear
			return func() { p.room = "" }, nil
		},
		Unread: func(context.Context) (time.Duration, error) {
			if p.failed.Load() {
				return 0, errors.New("away")
			}
			return time.Duration(p.unread.Load()), nil
		},
		Log: slog.New(slog.NewTextHandler(&p.log, nil)),
	}
}

// run calls test while a canary runs, in virtual time.
func run(t *testing.T, test func(t *testing.T, c *Canary, p *path)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &path{took: 3 * time.Millisecond}
		cfg := DefaultConfig()
		cfg.Identity = "n:1"
		c, err := New(cfg, p.deps())
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		defer func() {
			cancel()
			require.NoError(t, <-ended)
			require.Empty(t, p.room, "still listening")
		}()
		synctest.Wait()
		test(t, c, p)
	})
}

func TestACanaryIsSentAndHeard(t *testing.T) {
	run(t, func(t *testing.T, c *Canary, _ *path) {
		time.Sleep(time.Minute + 10*time.Millisecond)
		s := c.Stats()
		require.Equal(t, uint64(13), s.Sent)
		require.Equal(t, uint64(13), s.Heard)
		require.Equal(t, 3*time.Millisecond, s.Latency)
		require.LessOrEqual(t, time.Since(s.LastHeard), 5*time.Second)
		require.False(t, c.Deaf())
	})
}

func TestANodePastWhichEventsFlowIsDeafWithin15Seconds(t *testing.T) {
	run(t, func(t *testing.T, c *Canary, p *path) {
		time.Sleep(10*time.Second + 10*time.Millisecond) // one was heard just now: the worst moment
		began := time.Now()
		p.lose.Store(true)
		for !c.Deaf() {
			p.unread.Store(int64(max(time.Since(began)-5*time.Second, 0))) // since its own next canary
			time.Sleep(10 * time.Millisecond)
			require.Less(t, time.Since(began), 15*time.Second)
		}
		require.Greater(t, time.Since(began), 12*time.Second, "too hasty")
		p.failed.Store(true)
		time.Sleep(20 * time.Second)
		require.True(t, c.Deaf(), "nothing else is known")
		p.failed.Store(false)
		p.lose.Store(false)
		p.unread.Store(0)
		time.Sleep(6 * time.Second)
		require.False(t, c.Deaf())
		require.Equal(t, 1, bytes.Count(p.log.Bytes(), []byte("deaf: events flow past this node")))
		require.Equal(t, 1, bytes.Count(p.log.Bytes(), []byte("no longer deaf")))
	})
}

// What stands still for all is no reason to take nodes away.
func TestNoNodeIsDeafWhereNoEventsFlow(t *testing.T) {
	run(t, func(t *testing.T, c *Canary, p *path) {
		p.lose.Store(true)
		time.Sleep(time.Minute + time.Second)
		require.False(t, c.Deaf(), "nothing is committed")
		p.refuse.Store(true)
		p.failed.Store(true)
		time.Sleep(time.Minute)
		require.False(t, c.Deaf(), "Redis is away")
		s := c.Stats()
		require.Equal(t, uint64(12), s.SendFailed)
		require.Equal(t, uint64(25), s.Sent)
		require.Greater(t, time.Since(s.LastHeard), time.Minute)
	})
}

func TestWhatIsNoCanaryIsNotHeard(t *testing.T) {
	run(t, func(t *testing.T, c *Canary, p *path) {
		for _, args := range []string{``, `[`, `{}`, `["sync","1-2"]`, `["notificacion_canary",{"sent":"x"}]`, `["a",{}]`, `["a",null]`, `[]`} {
			p.hear([]byte(args))
		}
		require.Zero(t, c.Stats().Heard)
		time.Sleep(4 * time.Millisecond)
		require.Equal(t, uint64(1), c.Stats().Heard)
	})
}

func TestConfigFaultsAreJoined(t *testing.T) {
	err := Config{Interval: 2 * time.Hour}.Validate()
	for _, field := range []string{"Identity", "Interval", "Patience"} {
		require.ErrorContains(t, err, "canary: "+field+" is ")
	}
	_, err = New(Config{}, Deps{})
	require.Error(t, err)
	cfg := DefaultConfig()
	cfg.Identity = "n"
	_, err = New(cfg, Deps{})
	require.ErrorContains(t, err, "dependency")
	c, err := New(cfg, Deps{
		Publish: (&path{}).deps().Publish, Unread: (&path{}).deps().Unread, Log: slog.New(slog.DiscardHandler),
		Listen: func(string, func([]byte)) (func(), error) { return nil, errors.New("no namespace") },
	})
	require.NoError(t, err)
	require.ErrorContains(t, c.Run(t.Context()), "no namespace")
}
