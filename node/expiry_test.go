package node

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/auth"
)

// epoch is when the tests' clock begins.
var epoch = time.Unix(1_800_000_000, 0)

// clock is one that tests set.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(epoch.UnixMilli())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()) }
func (c *clock) forward(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// timed is a Verifier of tokens as "role:user:iat:exp:jti:solicitud", the times in seconds from epoch, by a clock.
type timed struct {
	clock  *clock
	leeway time.Duration
}

func (v timed) Verify(_ context.Context, token string) (auth.Identity, error) {
	var iat, exp int64
	parts := strings.Split(token, ":")
	if len(parts) < 5 {
		return auth.Identity{}, auth.ErrTokenInvalid
	}
	if _, err := fmt.Sscan(parts[2], &iat); err != nil {
		return auth.Identity{}, auth.ErrTokenInvalid
	}
	if _, err := fmt.Sscan(parts[3], &exp); err != nil {
		return auth.Identity{}, auth.ErrTokenInvalid
	}
	id := auth.Identity{
		Role: parts[0], User: parts[1], TokenID: parts[4], Solicitudes: parts[5:],
		IssuedAt: epoch.Add(time.Duration(iat) * time.Second), ExpiresAt: epoch.Add(time.Duration(exp) * time.Second),
	}
	if !v.clock.now().Before(id.ExpiresAt.Add(v.leeway)) {
		return id, auth.ErrTokenExpired
	}
	return id, nil
}

// timedRig is a rig whose tokens expire by the clock.
func timedRig(t *testing.T, change func(*Config, *Deps)) (*rig, *clock) {
	t.Helper()
	c := newClock()
	return newRig(t, func(cfg *Config, d *Deps) {
		d.Verifier, d.Now = timed{clock: c, leeway: cfg.TokenLeeway}, c.now
		if change != nil {
			change(cfg, d)
		}
	}), c
}

// sinceEpoch is a number of seconds from epoch, as clients see a time.
func sinceEpoch(seconds int64) string {
	return strconv.FormatInt(epoch.Add(time.Duration(seconds)*time.Second).UnixMilli(), 10)
}

// quiet holds that what the client has been sent is no more than what it has read: an answer comes next.
func (c *client) quiet() {
	c.t.Helper()
	c.send(`4299["ping"]`)
	require.True(c.t, strings.HasPrefix(c.next(), `2["pong"`))
	require.True(c.t, strings.HasPrefix(c.next(), `399`))
}

func TestATokenIsToldOfBeforeItExpiresAndItsSocketClosed(t *testing.T) {
	list := newSessionList()
	r, now := timedRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("client:c:0:600:t1")
	now.forward((600 - 66) * time.Second) // a notice may be 5 s early
	r.expireSome()
	c.quiet()
	now.forward(6 * time.Second)
	require.Equal(t, `2["token_expiring",{"expires_at":`+sinceEpoch(600)+`}]`, c.next())
	now.forward(90*time.Second - time.Millisecond)
	r.expireSome()
	c.quiet()
	require.False(t, list.noted("lost"))
	now.forward(2 * time.Millisecond)
	require.Equal(t, `2["token_expired",{"code":"token_expired","message":"the token has expired"}]`, c.next())
	require.Empty(t, c.next(), "closed without a DISCONNECT packet, after which the client would not reconnect")
	r.eventually("nobody is present", func() bool { return r.presence.user("client:c") == 0 })
	require.True(t, list.noted("lost"), "its session can be recovered")
	require.False(t, list.noted("end"))
	require.Equal(t, uint64(1), r.Stats().Expired)
	require.Contains(t, r.dial(`{"token":"client:c:0:600:t1"}`, nil).next(), `"code":"token_expired"`, "the verifier is of the same opinion")
}

func TestAShortTokenIsToldOfBehindTheGreeting(t *testing.T) {
	r, now := timedRig(t, nil)
	c, _ := r.connect("client:c:0:10:t1") // checks that connected comes first
	require.Contains(t, c.next(), `token_expiring`)
	now.forward(20 * time.Second)
	late, _ := r.connect("client:c:0:10:t1")
	require.Contains(t, late.next(), `token_expiring`, "within the leeway")
	now.forward(20*time.Second + time.Millisecond)
	for _, c := range []*client{c, late} {
		require.Contains(t, c.next(), `"token_expired"`)
		require.Empty(t, c.next())
	}
}

func TestASocketThatHasGoneIsForgotten(t *testing.T) {
	r, _ := timedRig(t, nil)
	followed := func(what string, want int) {
		t.Helper()
		r.eventually(what, func() bool {
			r.expiries.mu.Lock()
			defer r.expiries.mu.Unlock()
			return r.expiries.heap.Len() == want
		})
	}
	c, _ := r.connect("client:c:0:600:t1")
	d, _ := r.connect("client:d:0:700:t2")
	followed("both are there", 2)
	c.close()
	followed("it is forgotten", 1)
	d.send("41")
	followed("who leaves, too", 0)
}

// A socket that has gone before its expiry was noted must not be held until then.
func TestAnEndedSessionIsNotFollowed(t *testing.T) {
	r, _ := timedRig(t, nil)
	sess := &session{identity: auth.Identity{ExpiresAt: epoch.Add(time.Hour)}}
	sess.leaveAll(r.presence)
	r.begin(nil, sess)
	require.Zero(t, r.expiries.heap.Len())
	require.False(t, sess.expire(func(auth.Identity) bool { return true }))
}

func TestExpiriesComeInTheirOrderAndBounded(t *testing.T) {
	const many = 10_000
	var e expiries
	sessions := make([]*session, many)
	for i := range sessions {
		sessions[i] = &session{}
		at := int64(1 + i*7919%many)
		e.set(nil, sessions[i], at, at+many)
	}
	for i := 0; i < many; i += 3 {
		e.drop(sessions[i])
		e.drop(sessions[i])
	}
	e.set(nil, sessions[1], 5*many, 2*many) // no notice behind the close
	notices, closes, last := 0, 0, int64(0)
	for now := int64(0); now <= 2*many; now += 50 {
		for _, d := range e.due(now, many) {
			if d.expired {
				closes++
				require.GreaterOrEqual(t, d.sess.expiry.closes, last)
				last = d.sess.expiry.closes
			} else {
				notices++
			}
			require.NotZero(t, d.sess.expiry.closes)
		}
	}
	left := many - (many+2)/3
	require.Equal(t, left, closes)
	require.Equal(t, left-1, notices)
	require.Zero(t, e.heap.Len())

	for _, s := range sessions {
		e.set(nil, s, 1, 1)
	}
	require.Len(t, e.due(1, expiryStep), expiryStep, "one step has its bound, however many are due")
	require.LessOrEqual(t, unsafe.Sizeof(expiry{}), uintptr(32), "an idle socket is to cost little")
}

func TestManyThatExpireAtOnceAreSeenToInSteps(t *testing.T) {
	const many = 3 * expiryStep
	r, now := timedRig(t, nil)
	users := make([]*client, 0, 40)
	for i := range cap(users) {
		c, _ := r.connect(fmt.Sprintf("client:u%d:0:600:t", i))
		users = append(users, c)
	}
	for range many { // sessions that nobody serves cost no more than their place
		sess := &session{identity: auth.Identity{ExpiresAt: epoch.Add(600 * time.Second)}, ended: true}
		at := r.closesAt(sess.identity)
		r.expiries.set(nil, sess, at, at)
	}
	now.forward(700 * time.Second)
	for _, c := range users {
		require.Contains(t, c.next(), "token_expiring")
		require.Contains(t, c.next(), "token_expired")
		require.Empty(t, c.next())
	}
	require.Equal(t, uint64(len(users)), r.Stats().Expired)
	require.Zero(t, r.Stats().Panics)
}

func TestTheOwnerOfExpiriesEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &Node{cfg: DefaultConfig(), now: time.Now, log: discard()}
		for range 3 * expiryStep {
			sess := &session{ended: true}
			n.expiries.set(nil, sess, time.Now().UnixMilli(), time.Now().UnixMilli())
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.runExpiries(ctx) }()
		time.Sleep(expiryTick + 4*expiryPause)
		synctest.Wait()
		require.Zero(t, n.expiries.heap.Len(), "in steps, in one tick")
		stop()
		require.NoError(t, <-ended)
	})
}

func TestNoEventOfATokensLifeEndsInAString(t *testing.T) {
	// The stock client would take it for its position.
	for _, payload := range []any{expiringEvent{}, wireErrorOf(auth.ErrTokenExpired), unsubscribed{}, refreshAnswer{}} {
		raw, err := json.Marshal(payload)
		require.NoError(t, err)
		require.Equal(t, byte('{'), raw[0])
	}
}
