package node

import (
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/auth"
)

// refreshWith asks for a refresh and returns the answer.
func (c *client) refreshWith(token string) (a refreshAnswer) {
	c.t.Helper()
	return c.answered(c.event(`4277["refresh_token",{"token":"`+token+`"}]`, "377"))
}

func (c *client) answered(raw string) (a refreshAnswer) {
	c.t.Helper()
	var answers []refreshAnswer
	require.NoError(c.t, json.Unmarshal([]byte(raw), &answers), raw)
	require.Len(c.t, answers, 1)
	return answers[0]
}

func TestRefreshRenewsInPlace(t *testing.T) {
	r, now := timedRig(t, nil)
	c, _ := r.connect("client:c:0:600:t1")
	require.Contains(t, c.event(`421["subscribe_solicitud",{"solicitud_id":"granted"}]`, "31"), `"ok":true`)
	got := c.event(`4277["refresh_token",{"token":"client:c:500:1200:t2"}]`, "377")
	require.JSONEq(t, `[{"ok":true,"expires_at":`+sinceEpoch(1200)+`,"role":"client","rooms":["client","user_c","solicitud_granted"]}]`, got)
	now.forward(700 * time.Second)
	r.expireSome()
	c.quiet()
	now.forward(450 * time.Second)
	require.Contains(t, c.next(), sinceEpoch(1200))
	require.True(t, c.refreshWith("client:c:500:1200:t2").OK, "the same token again changes nothing")
	now.forward(81 * time.Second)
	require.Contains(t, c.next(), "token_expired")
	require.Empty(t, c.next())
}

func TestRefreshThatIsRefusedChangesNothing(t *testing.T) {
	state := &atomic.Value{}
	state.Store("")
	r, now := timedRig(t, func(_ *Config, d *Deps) { d.Revocations = revocations{state} })
	c, _ := r.connect("client:c:100:600:t1:own")
	for request, code := range map[string]string{
		`{"token":"client:d:200:900:t2"}`: "token_invalid", // another user
		`{"token":"admin:d:200:900:t2"}`:  "token_invalid",
		`{"token":"client:c:99:900:t0"}`:  "token_invalid", // issued before
		`{"token":"admin:c:99:900:t0"}`:   "token_invalid", // a replay that would bring back a role
		`{"token":"client:c:100:599:t0"}`: "token_invalid", // expires before
		`{"token":"client:c:-99:-40:t0"}`: "token_expired",
		`{"token":"nonsense"}`:            "token_invalid",
		`{"token":7}`:                     "token_invalid",
		`{"token":["client:c:100:900"]}`:  "token_invalid",
		`{"token":""}`:                    "token_invalid",
		`{"token":null}`:                  "token_missing",
		`{}`:                              "token_missing",
		`"client:c:200:900:t2"`:           "token_missing",
		`null`:                            "token_missing",
		`[]`:                              "token_missing",
	} {
		got := c.event(`4277["refresh_token",`+request+`]`, "377")
		a := c.answered(got)
		require.False(t, a.OK, request)
		require.Equal(t, code, a.Error.Code, request)
		require.NotContains(t, got, "client:c", "no token in an answer")
		require.Contains(t, c.event(`42["refresh_token",`+request+`]`, `2["error",`), `"code":"`+code+`"`, "without an ack")
	}
	require.Equal(t, "token_missing", c.answered(c.event(`4277["refresh_token"]`, "377")).Error.Code)
	require.Equal(t, 1, r.presence.user("client:c"))
	require.Zero(t, r.presence.user("admin:c"))
	now.forward(540 * time.Second)
	for m := c.next(); !strings.Contains(m, "token_expiring"); m = c.next() {
		require.NotEmpty(t, m)
	}
	now.forward(96 * time.Second)
	require.Contains(t, c.next(), "token_expired", "by the token that it had")
}

func TestRefreshWithARevokedToken(t *testing.T) {
	r, _ := timedRig(t, func(_ *Config, d *Deps) {
		d.Revocations = revokedIDs{"stolen": auth.ErrTokenRevoked, "?": auth.ErrUnavailable}
	})
	c, _ := r.connect("client:c:0:600:t1")
	require.Equal(t, "token_revoked", c.refreshWith("client:c:1:900:stolen").Error.Code)
	require.Equal(t, "unavailable", c.refreshWith("client:c:1:900:?").Error.Code)
	require.True(t, c.refreshWith("client:c:1:900:t2").OK, "the connection stays")
}

// revokedIDs says what Check answers for a jti.
type revokedIDs map[string]error

func (r revokedIDs) Check(id auth.Identity) error { return r[id.TokenID] }

// later revokes by jti from some moment on.
type later struct{ id *atomic.Value }

func (l later) Check(id auth.Identity) error {
	if l.id.Load() == id.TokenID {
		return auth.ErrTokenRevoked
	}
	return nil
}

func TestRevocationIsOfTheTokenThatIsInForce(t *testing.T) {
	revoked := later{id: &atomic.Value{}}
	revoked.id.Store("")
	r, _ := timedRig(t, func(_ *Config, d *Deps) { d.Revocations = revoked })
	c, _ := r.connect("client:c:0:600:t1")
	require.True(t, c.refreshWith("client:c:1:900:t2").OK)
	revoked.id.Store("t1")
	r.CloseRevoked()
	c.quiet()
	revoked.id.Store("t2")
	r.CloseRevoked()
	require.Contains(t, c.next(), "token_revoked")
}

func TestAChangedRoleMovesTheRooms(t *testing.T) {
	list := newSessionList()
	r, _ := timedRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("advisor:c:0:600:t1")
	for _, id := range []string{"granted", "own", "other"} {
		require.Contains(t, c.event(`421["subscribe_solicitud",{"solicitud_id":"`+id+`"}]`, "31"), `"ok":true`)
	}
	list.forget()
	c.send(`4277["refresh_token",{"token":"client:c:1:900:t2:own"}]`)
	require.JSONEq(t, `["unsubscribed",{"room":"solicitud_other","code":"forbidden","message":"you have no access to this solicitud"}]`,
		strings.TrimPrefix(c.next(), "2"))
	a := c.answered(strings.TrimPrefix(c.next(), "377"))
	require.Equal(t, []string{"client", "user_c", "solicitud_granted", "solicitud_own"}, a.Rooms)
	require.Equal(t, "client", a.Role)
	require.True(t, list.noted("saved"), "before it was answered")
	require.Zero(t, r.presence.user("advisor:c"))
	require.Equal(t, 1, r.presence.user("client:c"))
	for room, role := range map[string]string{"solicitud_granted": "client", "solicitud_own": "client"} {
		require.Equal(t, map[string]int{role: 1}, r.presence.roles(room), room)
	}
	require.Empty(t, r.presence.roles("solicitud_other"))

	require.NoError(t, r.io.To("advisor", "solicitud_other").Emit("oferta_x", map[string]any{"n": 1}))
	require.NoError(t, r.io.To("client").Emit("oferta_x", map[string]any{"n": 2}))
	require.Contains(t, c.next(), `{"n":2}`)

	require.Equal(t, []string{"admin", "user_c", "solicitud_granted", "solicitud_own"}, c.refreshWith("admin:c:2:900:t3").Rooms)
	require.NoError(t, r.io.To("admin").Emit("oferta_x", map[string]any{"n": 3}))
	require.Contains(t, c.next(), `{"n":3}`)
	c.close()
	r.eventually("nothing is left", func() bool { return r.presence.empty() })
}

func TestRefreshThatCannotBeDecided(t *testing.T) {
	list := newSessionList()
	r, _ := timedRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("advisor:c:0:600:t1")
	require.Contains(t, c.event(`421["subscribe_solicitud",{"solicitud_id":"down"}]`, "31"), `"ok":true`)
	require.Equal(t, "unavailable", c.refreshWith("client:c:1:900:t2").Error.Code)
	require.Equal(t, 1, r.presence.user("advisor:c"), "nothing has changed")
	require.Contains(t, c.event(`421["unsubscribe_solicitud",{"solicitud_id":"down"}]`, "31"), `"ok":true`)

	list.mu.Lock()
	list.saveErr = errors.New("no Redis")
	list.mu.Unlock()
	require.True(t, c.refreshWith("advisor:c:1:800:t2").OK, "nothing that has to be saved")
	require.Equal(t, "unavailable", c.refreshWith("client:c:1:900:t3").Error.Code)
	require.Equal(t, "unavailable", c.refreshWith("client:c:1:900:t3").Error.Code, "nor is it saved the second time")
	list.mu.Lock()
	list.saveErr = nil
	list.mu.Unlock()
	require.Equal(t, "client", c.refreshWith("client:c:1:900:t3").Role)
	require.Equal(t, 1, r.presence.user("client:c"))
	require.Zero(t, r.presence.user("advisor:c"))
}

func TestATokenThatHasExpiredCannotBeRenewedAnyMore(t *testing.T) {
	r, now := timedRig(t, nil)
	sess := &session{}
	id := func(exp int64) auth.Identity {
		return auth.Identity{User: "c", Role: "client", ExpiresAt: epoch.Add(time.Duration(exp) * time.Second)}
	}
	sess.identity = id(10)
	over := func(id auth.Identity) bool { return r.closesAt(id) <= now.now().UnixMilli() }
	now.forward(50 * time.Second)
	require.NoError(t, r.renew(nil, sess, id(100)))
	require.False(t, sess.expire(over), "renewed in the last moment")
	now.forward(90 * time.Second)
	require.True(t, sess.expire(over))
	require.ErrorIs(t, r.renew(nil, sess, id(200)), auth.ErrTokenExpired)
	require.Equal(t, "token_expired", wireErrorOf(errTooLate).Code)
	r.expiries.drop(sess)
}

func TestWhatARefreshIsToldLeaksNothing(t *testing.T) {
	require.Equal(t, &wireError{Code: "token_invalid", Message: "the token cannot be used here"}, wireErrorOf(errors.New("password: hunter2")))
	require.Equal(t, "unavailable", wireErrorOf(errUnavailable).Code)
	require.NotContains(t, wireErrorOf(errForeignToken).Message, "user")
}

// Handlers of one socket run one at a time, and others go on.
func TestRefreshesOfOneSocketAreSerial(t *testing.T) {
	r, _ := timedRig(t, nil)
	c, _ := r.connect("client:c:0:600:t1")
	for i := range 20 {
		c.send(`4277["refresh_token",{"token":"client:c:` + string(rune('0'+i%10)) + `:900:t"}]`)
	}
	for range 20 {
		require.True(t, strings.HasPrefix(c.next(), "377"))
	}
	require.Equal(t, 1, r.presence.user("client:c"))
}

// CloseRevoked comes after the new token was looked at, and finds the earlier one.
func TestRevocationDuringARefreshIsNotMissed(t *testing.T) {
	revoked := later{id: &atomic.Value{}}
	revoked.id.Store("")
	g := &changing{granted: map[string]bool{"1/c": true}}
	r, _ := timedRig(t, func(_ *Config, d *Deps) { d.Revocations, d.Grants = revoked, g })
	c, _ := r.connect("client:c:0:600:t1")
	require.Contains(t, c.subscribed("1"), `"ok":true`)
	g.whenAsked(func(string) {
		revoked.id.Store("t2")
		r.CloseRevoked()
	})
	c.send(`4277["refresh_token",{"token":"client:c:1:900:t2"}]`)
	require.Contains(t, c.next(), `"token_revoked"`)
	require.Equal(t, "1", c.next())
}
