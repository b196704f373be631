package node

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/auth"
)

// changing is a Granter whose grants, "solicitud/user", come and go.
type changing struct {
	mu      sync.Mutex
	granted map[string]bool        // mu
	err     error                  // mu
	asked   func(solicitud string) // mu; called before the answer leaves, which is made already
}

func (g *changing) Granted(_ context.Context, solicitud, user string) (bool, error) {
	g.mu.Lock()
	yes, err, asked := g.granted[solicitud+"/"+user], g.err, g.asked
	g.mu.Unlock()
	if asked != nil {
		asked(solicitud)
	}
	return yes, err
}

func (g *changing) withdraw(grant string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.granted, grant)
}

func (g *changing) whenAsked(fn func(string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = fn
}

func (g *changing) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func grantsRig(t *testing.T, granted ...string) (*rig, *changing) {
	t.Helper()
	g := &changing{granted: map[string]bool{}}
	for _, grant := range granted {
		g.granted[grant] = true
	}
	return newRig(t, func(_ *Config, d *Deps) { d.Grants = g }), g
}

func (c *client) subscribed(solicitud string) string {
	c.t.Helper()
	return c.event(`421["subscribe_solicitud",{"solicitud_id":"`+solicitud+`"}]`, "31")
}

const withdrawnEvent = `2["unsubscribed",{"room":"solicitud_1","code":"grant_withdrawn","message":"the access to this solicitud was withdrawn"}]`

func TestAWithdrawnGrantTakesTheSocketsOutOfTheRoom(t *testing.T) {
	r, g := grantsRig(t, "1/c", "2/c", "1/d")
	c, _ := r.connect("client:c")
	tab, _ := r.connect("client:c")
	other, _ := r.connect("client:d")
	claims, _ := r.connect("client:c:1")
	advisor, _ := r.connect("advisor:c")
	for _, who := range []*client{c, tab, other, claims, advisor} {
		require.Contains(t, who.subscribed("1"), `"ok":true`)
	}
	require.Contains(t, c.subscribed("2"), `"ok":true`)
	withdrawn := []auth.Withdrawal{{Solicitud: "1", User: "c"}, {Solicitud: "2", User: "c"}, {Solicitud: "1", User: "nobody"}}
	require.NoError(t, r.Withdrawn(t.Context(), withdrawn))
	c.quiet() // a notice is no proof
	g.withdraw("1/c")
	g.withdraw("1/d")
	require.NoError(t, r.Withdrawn(t.Context(), withdrawn))
	require.Equal(t, withdrawnEvent, c.next())
	require.Equal(t, withdrawnEvent, tab.next())
	for _, who := range []*client{c, tab, other, claims, advisor} {
		who.quiet() // and no other event to anybody
	}
	require.Equal(t, 2, r.presence.in("solicitud_1"), "who may by claim or role stays")
	require.Equal(t, 1, r.presence.in("solicitud_2"))
	require.NoError(t, r.io.To("solicitud_1").Emit("oferta_x", map[string]any{"n": 1}))
	require.NoError(t, r.io.To("solicitud_2").Emit("oferta_x", map[string]any{"n": 2}))
	require.Contains(t, c.next(), `{"n":2}`)
	require.Contains(t, c.subscribed("1"), `"code":"forbidden"`)
	require.Contains(t, other.next(), `{"n":1}`)

	require.NoError(t, r.Withdrawn(t.Context(), nil), "an empty list: look at everybody")
	require.Equal(t, withdrawnEvent, other.next())
	require.NoError(t, r.Withdrawn(t.Context(), nil))
	other.quiet()
}

func TestAWithdrawalThatCannotBeCheckedIsToldAgain(t *testing.T) {
	r, g := grantsRig(t, "1/c")
	c, _ := r.connect("client:c")
	require.Contains(t, c.subscribed("1"), `"ok":true`)
	g.withdraw("1/c")
	g.fail(errors.New("no Redis"))
	list := []auth.Withdrawal{{Solicitud: "1", User: "c"}}
	require.Error(t, r.Withdrawn(t.Context(), list))
	c.quiet()
	g.fail(nil)
	require.NoError(t, r.Withdrawn(t.Context(), list))
	require.Equal(t, withdrawnEvent, c.next())
}

// A grant that goes while a subscription is under way, after it was looked at and before the socket is in the room.
func TestAWithdrawalDuringASubscriptionIsNotMissed(t *testing.T) {
	for _, before := range []bool{false, true} {
		r, g := grantsRig(t, "1/c")
		c, _ := r.connect("client:c")
		if before { // repeated by a client that is in the room
			require.Contains(t, c.subscribed("1"), `"ok":true`)
		}
		withdraw := sync.OnceFunc(func() {
			g.whenAsked(nil)
			g.withdraw("1/c")
			if err := r.Withdrawn(context.Background(), []auth.Withdrawal{{Solicitud: "1", User: "c"}}); err != nil {
				t.Error(err)
			}
		})
		g.whenAsked(func(string) { withdraw() })
		require.Contains(t, c.subscribed("1"), `"code":"forbidden"`)
		require.Zero(t, r.presence.in("solicitud_1"))
		require.NoError(t, r.io.To("solicitud_1").Emit("oferta_x", map[string]any{"n": 1}))
		c.quiet()
	}
}

func TestAWithdrawalDuringARecoveryIsNotMissed(t *testing.T) {
	for _, late := range []bool{false, true} {
		g := &changing{granted: map[string]bool{"1/c": true}}
		found := &earlier{user: "c", rooms: []string{"solicitud_1"}, sessionList: newSessionList()}
		r := newRig(t, func(_ *Config, d *Deps) {
			d.Adapter, d.Sessions, d.Grants = &recovering{found: found}, found.sessionList, g
		})
		withdraw := func() {
			g.whenAsked(nil)
			g.withdraw("1/c")
			if err := r.Withdrawn(context.Background(), []auth.Withdrawal{{Solicitud: "1", User: "c"}}); err != nil {
				t.Error(err)
			}
		}
		if late { // it is counted in the room, and not yet in it
			found.resuming = withdraw
		} else {
			g.whenAsked(func(string) { withdraw() })
		}
		c := r.dial(again, nil)
		require.Contains(t, c.next(), `"pid":"p"`)
		if late {
			require.Equal(t, withdrawnEvent, c.next())
		}
		require.Contains(t, c.next(), "connected")
		require.Equal(t, withdrawnEvent, c.next())
		require.Zero(t, r.presence.in("solicitud_1"))
		require.NoError(t, r.io.To("solicitud_1").Emit("oferta_x", map[string]any{"n": 1}))
		c.quiet()
	}
}

// A withdrawal that finds the earlier token's claim, while the new one has none.
func TestAWithdrawalDuringARefreshIsNotMissed(t *testing.T) {
	g := &changing{granted: map[string]bool{"1/c": true}}
	r, _ := timedRig(t, func(_ *Config, d *Deps) { d.Grants = g })
	c, _ := r.connect("client:c:0:600:t1:1")
	require.Contains(t, c.subscribed("1"), `"ok":true`)
	g.whenAsked(func(string) {
		g.whenAsked(nil)
		g.withdraw("1/c")
		if err := r.Withdrawn(context.Background(), []auth.Withdrawal{{Solicitud: "1", User: "c"}}); err != nil {
			t.Error(err)
		}
	})
	c.send(`4277["refresh_token",{"token":"client:c:1:900:t2"}]`)
	require.Equal(t, withdrawnEvent, c.next())
	require.True(t, strings.HasPrefix(c.next(), "377"))
	require.Zero(t, r.presence.in("solicitud_1"))
}
