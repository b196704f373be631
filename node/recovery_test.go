package node

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// sessionList is a Sessions on the library's own adapter; what becomes of sessions is noted in log.
type sessionList struct {
	mu      sync.Mutex
	log     []string // mu
	openErr error
	saveErr error
	hold    chan error // if not nil, what saving comes to
}

func newSessionList() *sessionList { return &sessionList{} }

func (l *sessionList) note(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = append(l.log, what)
}

func (l *sessionList) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = nil
}

func (l *sessionList) noted(what string) bool { return l.times(what) > 0 }

func (l *sessionList) times(what string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, noted := range l.log {
		if noted == what {
			n++
		}
	}
	return n
}

func (l *sessionList) Open(s *socket.Socket, user string, rooms []string, hello Hello) error {
	l.note("open " + user)
	if l.openErr != nil {
		return l.openErr
	}
	return greet(s, rooms, hello, "7-0")
}

func greet(s *socket.Socket, rooms []string, hello Hello, offset string) error {
	for _, room := range rooms {
		s.Join(socket.Room(room))
	}
	event, payload := hello()
	return s.Emit(event, payload, offset)
}

func (l *sessionList) Saved(_ *socket.Socket, done func(error)) {
	l.note("saved")
	if l.hold != nil {
		go func() { done(<-l.hold) }()
		return
	}
	done(l.saveErr)
}

func (l *sessionList) Lost(*socket.Socket) { l.note("lost") }
func (l *sessionList) End(*socket.Socket)  { l.note("end") }

// earlier is a Recovery of user, whose steps are noted.
type earlier struct {
	*sessionList

	user                           string
	rooms                          []string
	sessionErr, takeErr, resumeErr error
	resuming                       func() // if not nil, called before it resumes
}

func (e *earlier) Session() (user string, rooms []string, err error) {
	return e.user, e.rooms, e.sessionErr
}

func (e *earlier) Take(context.Context) error {
	e.note("take")
	return e.takeErr
}

func (e *earlier) Discard(context.Context) { e.note("discard") }

func (e *earlier) Resume(s *socket.Socket, rooms []string, hello Hello) error {
	e.note("resume " + strings.Join(rooms, " "))
	if e.resumeErr != nil {
		return e.resumeErr
	}
	if e.resuming != nil {
		e.resuming()
	}
	return greet(s, rooms, hello, "7-0")
}

// recovering is an adapter that finds this session for the pid "p".
type recovering struct {
	socket.AdapterBuilder

	found *earlier
}

type recoveringAdapter struct {
	socket.Adapter

	found *earlier
}

func (r *recovering) New(nsp socket.Namespace) socket.Adapter {
	return &recoveringAdapter{Adapter: r.AdapterBuilder.New(nsp), found: r.found}
}

func (a *recoveringAdapter) RestoreSession(pid socket.PrivateSessionId, _ string) (*socket.Session, error) {
	if pid != "p" {
		return nil, nil
	}
	return &socket.Session{SessionToPersist: &socket.SessionToPersist{
		Sid: "new", Pid: pid, Rooms: types.NewSet[socket.Room](), Data: a.found,
	}}, nil
}

func recoveryRig(t *testing.T, found *earlier) *rig {
	found.sessionList = newSessionList()
	return newRig(t, func(_ *Config, d *Deps) {
		d.Adapter, d.Sessions = &recovering{found: found}, found.sessionList
	})
}

const again = `{"token":"client:c","pid":"p","offset":"5-0"}`

func TestRecoveredSocketResumesWithItsRoomsGrantedAfresh(t *testing.T) {
	found := &earlier{user: "c", rooms: []string{
		"admin", "user_c", "user_other", "solicitud_granted", "solicitud_revoked", "by_a_server",
	}}
	r := recoveryRig(t, found)
	c := r.dial(again, nil)
	require.Equal(t, `0{"sid":"new","pid":"p"}`, c.next(), "the same pid is what the client takes for recovered")
	require.Equal(t, `2["connected",{"user_id":"c","role":"client","rooms":["client","user_c","solicitud_granted","by_a_server"],`+
		`"node":"node-a","recovered":true},"7-0"]`, c.next())
	require.True(t, found.noted("take"))
	require.True(t, found.noted("resume client user_c solicitud_granted by_a_server"))
	require.Equal(t, 1, r.presence.in("solicitud_granted"))
	require.Zero(t, r.presence.in("solicitud_revoked"))
}

func TestRecoveringClientWithoutAValidTokenIsToldNothing(t *testing.T) {
	found := &earlier{user: "c", rooms: []string{"user_c"}}
	r := recoveryRig(t, found)
	for token, code := range map[string]string{"expired": "token_expired", "x": "token_invalid", "": "token_missing"} {
		c := r.dial(`{"token":"`+token+`","pid":"p","offset":"5-0"}`, nil)
		m := c.next()
		require.True(t, strings.HasPrefix(m, "4"), m)
		require.Contains(t, m, code)
		c.send("41")
		require.Empty(t, c.next(), "and not one event")
	}
	require.Empty(t, found.log, "the session is as it was")
}

func TestAnotherUsersSessionEnds(t *testing.T) {
	found := &earlier{user: "c"}
	r := recoveryRig(t, found)
	c := r.dial(`{"token":"client:d","pid":"p","offset":"5-0"}`, nil)
	require.Contains(t, c.next(), `"code":"token_invalid"`)
	require.Equal(t, []string{"discard"}, found.log)
}

func TestRecoveryThatCannotBeDecidedIsTriedAgain(t *testing.T) {
	fault := errors.New("no Redis")
	for name, found := range map[string]*earlier{
		"unknown session": {sessionErr: fault},
		"unknown grant":   {user: "c", rooms: []string{"solicitud_down"}},
		"not taken":       {user: "c", takeErr: fault},
	} {
		t.Run(name, func(t *testing.T) {
			r := recoveryRig(t, found)
			require.Empty(t, r.dial(again, nil).next(), "a connect_error would keep the client from reconnecting")
			require.Equal(t, uint64(1), r.Stats().Dismissed)
			r.eventually("no seat is taken", func() bool { return r.seats.Load() == 0 })
			require.Zero(t, r.presence.user("client:c"))
		})
	}
}

func TestFailedResumeClosesTheConnection(t *testing.T) {
	found := &earlier{user: "c", resumeErr: errors.New("too late")}
	r := recoveryRig(t, found)
	r.dial(again, nil).expectClose()
	r.eventually("nobody is present", func() bool { return r.presence.user("client:c") == 0 })
}

func TestFailedOpenClosesTheConnection(t *testing.T) {
	list := newSessionList()
	list.openErr = errors.New("gone")
	r := newRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	r.dial(`{"token":"client:c"}`, nil).expectClose()
}

// expectClose waits until the connection is closed, without an event or an error before.
func (c *client) expectClose() {
	c.t.Helper()
	for m := c.next(); m != ""; m = c.next() {
		require.True(c.t, strings.HasPrefix(m, `0{`), m)
	}
}

func TestClientsOwnDisconnectEndsItsSession(t *testing.T) {
	list := newSessionList()
	r := newRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("client:c")
	require.False(t, list.noted("end"))
	c.send("41")
	c.close()
	r.eventually("it has ended, even if the close overtakes it", func() bool { return list.noted("end") })
	c, _ = r.connect("client:d")
	list.forget()
	c.close()
	r.eventually("it is gone", func() bool { return r.presence.user("client:d") == 0 })
	require.False(t, list.noted("end"), "a lost connection is no leaving")
}

func TestSubscriptionThatCannotBeSavedIsNoSubscription(t *testing.T) {
	list := newSessionList()
	list.saveErr = errors.New("no Redis")
	r := newRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("client:c")
	require.Contains(t, c.event(`421["subscribe_solicitud",{"solicitud_id":"granted"}]`, "31"), `"code":"unavailable"`)
	require.Zero(t, r.presence.in("solicitud_granted"))
	require.Contains(t, c.event(`422["unsubscribe_solicitud",{"solicitud_id":"granted"}]`, "32"), `"code":"unavailable"`)
}

func TestSubscriptionStandsIfItsRepetitionCannotBeSaved(t *testing.T) {
	list := newSessionList()
	list.hold = make(chan error)
	r := newRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("client:c")
	subscribe := func(id string, saved error) string {
		was := list.times("saved")
		c.send(`42` + id + `["subscribe_solicitud",{"solicitud_id":"granted"}]`)
		r.eventually("it waits to be saved", func() bool { return list.times("saved") > was })
		list.hold <- saved
		return c.next()
	}
	require.Contains(t, subscribe("1", nil), `"ok":true`)
	require.Contains(t, subscribe("2", errors.New("no Redis")), `"code":"unavailable"`)
	require.Equal(t, 1, r.presence.in("solicitud_granted"))
}

func TestRequestsThatWaitToBeSavedAreBounded(t *testing.T) {
	list := newSessionList()
	list.hold = make(chan error)
	r := newRig(t, func(c *Config, d *Deps) { d.Sessions, c.MaxRooms = list, 1 })
	c, _ := r.connect("client:c")
	for range unsavedAtLeast {
		c.send(`421["subscribe_solicitud",{"solicitud_id":"granted"}]`)
	}
	r.eventually("they wait", func() bool { return list.times("saved") == unsavedAtLeast })
	require.Contains(t, c.event(`422["subscribe_solicitud",{"solicitud_id":"granted"}]`, "32"), `"code":"unavailable"`)
	require.Equal(t, unsavedAtLeast, list.times("saved"))
	for range unsavedAtLeast {
		list.hold <- errors.New("too late")
	}
	r.eventually("nothing waits", func() bool { return strings.Contains(c.next(), `"code":"unavailable"`) })
}

func TestRecoveryWithTheHeadersToken(t *testing.T) {
	found := &earlier{user: "c"}
	r := recoveryRig(t, found)
	c := r.dial(`{"pid":"p","offset":"5-0"}`, http.Header{"Authorization": {"Bearer client:c"}})
	require.Equal(t, `0{"sid":"new","pid":"p"}`, c.next())
}

var _ Recovery = (*earlier)(nil)

// together grants when as many look-ups as it was made for are under way.
type together struct{ barrier *sync.WaitGroup }

func (g together) Granted(ctx context.Context, _, _ string) (bool, error) {
	g.barrier.Done()
	all := make(chan struct{})
	go func() {
		defer close(all)
		g.barrier.Wait()
	}()
	select {
	case <-all:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func TestTheGrantsOfManyRoomsAreLookedUpAtTheSameTime(t *testing.T) {
	found := &earlier{user: "c", sessionList: newSessionList()}
	for i := range 2 * grantsAtOnce {
		found.rooms = append(found.rooms, SolicitudRoom(strconv.Itoa(i)))
	}
	first := together{barrier: new(sync.WaitGroup)}
	first.barrier.Add(grantsAtOnce)
	var calls atomic.Int64
	r := newRig(t, func(_ *Config, d *Deps) {
		d.Adapter, d.Sessions = &recovering{found: found}, found.sessionList
		d.Grants = granter(func(ctx context.Context, solicitud, user string) (bool, error) {
			if calls.Add(1) <= grantsAtOnce {
				return first.Granted(ctx, solicitud, user)
			}
			return true, nil
		})
	})
	c := r.dial(again, nil)
	require.Equal(t, `0{"sid":"new","pid":"p"}`, c.next(), "one after the other they would take too long on a slow Redis")
	require.Contains(t, c.next(), SolicitudRoom(strconv.Itoa(2*grantsAtOnce-1)))
}

type granter func(ctx context.Context, solicitud, user string) (bool, error)

func (g granter) Granted(ctx context.Context, solicitud, user string) (bool, error) {
	return g(ctx, solicitud, user)
}

func TestASubscriptionThatAnotherOneUndidIsNotConfirmed(t *testing.T) {
	list := newSessionList()
	list.hold = make(chan error)
	r := newRig(t, func(_ *Config, d *Deps) { d.Sessions = list })
	c, _ := r.connect("client:c")
	for id := range 2 {
		c.send("42" + strconv.Itoa(id) + `["subscribe_solicitud",{"solicitud_id":"granted"}]`)
	}
	r.eventually("both wait", func() bool { return list.times("saved") == 2 })
	list.hold <- errors.New("too late")
	require.Contains(t, c.next(), `"code":"unavailable"`)
	list.hold <- nil
	require.Contains(t, c.next(), `"code":"unavailable"`, "the other one's failure took the socket out again")
	require.Zero(t, r.presence.in("solicitud_granted"))
}
