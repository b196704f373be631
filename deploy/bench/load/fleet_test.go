package load

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

// fake is a server that says what the test wants it to.
type fake struct {
	t        *testing.T
	mu       sync.Mutex
	conns    []net.Conn
	auths    []map[string]string
	rooms    []string
	pongs    int
	refuse   string
	protocol Protocol
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	go f.serve(c)
}

func (f *fake) send(c net.Conn, text string) { _ = wsutil.WriteServerText(c, []byte(text)) }

func (f *fake) serve(c net.Conn) {
	defer c.Close()
	if f.protocol == SocketIO {
		f.send(c, `0{"sid":"a","pingInterval":1,"pingTimeout":1}`)
		f.send(c, `2`)
	}
	for {
		m, err := wsutil.ReadClientText(c)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.answer(c, string(m))
		f.mu.Unlock()
	}
}

func (f *fake) answer(c net.Conn, m string) {
	switch {
	case m == "3" || m == "{}":
		f.pongs++
	case strings.HasPrefix(m, "40"):
		var auth map[string]string
		require.NoError(f.t, json.Unmarshal([]byte(m[2:]), &auth))
		f.auths = append(f.auths, auth)
		if f.refuse != "" {
			f.send(c, `44{"message":"no","data":{"code":"`+f.refuse+`"}}`)
			return
		}
		pid := auth["pid"]
		if pid == "" {
			pid = "pid" + strconv.Itoa(len(f.auths))
		}
		f.send(c, `40{"sid":"x","pid":"`+pid+`"}`)
		f.send(c, `42["connected",{"user_id":"u"},"100-0"]`)
		f.conns = append(f.conns, c)
	case strings.HasPrefix(m, "421"):
		f.rooms = append(f.rooms, m)
		f.send(c, `431[{"ok":true}]`)
	case strings.HasPrefix(m, `{"id":1`):
		f.send(c, `{"id":1,"connect":{"client":"c","ping":25,"pong":true}}`+"\n"+`{}`)
		f.conns = append(f.conns, c)
	case strings.HasPrefix(m, `{"id":2`):
		f.rooms = append(f.rooms, m)
		f.send(c, `{"id":2,"subscribe":{}}`)
	}
}

func (f *fake) event(c net.Conn, seq int) {
	data := AppendData(nil, Stamp{At: time.Now().UnixMicro(), Kind: ToAll, Seq: uint32(seq)}, "role", "advisor", 200)
	if f.protocol == Centrifuge {
		f.send(c, `{"push":{"channel":"advisor","pub":{"data":`+string(data)+`}}}`)
		return
	}
	f.send(c, fmt.Sprintf(`42["notificacion_bench",%s,"%d-0"]`, data, 100+seq))
}

func (f *fake) latest() net.Conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[len(f.conns)-1]
}

// run starts a server and a fleet of it; both end with the test.
func run(t *testing.T, f *fake, cfg Config, secure bool) *Fleet {
	t.Helper()
	f.t = t
	server := httptest.NewUnstartedServer(f)
	if secure {
		server.StartTLS()
		if cfg.roots != nil {
			cfg.roots.AddCert(server.Certificate())
		}
	} else {
		server.Start()
	}
	cfg.URL, cfg.Protocol = "ws"+strings.TrimPrefix(server.URL, "http"), f.protocol
	if cfg.Token == nil {
		cfg.Token = func(i int) string { return "token" + strconv.Itoa(i) }
	}
	fleet, err := New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.Zero(t, fleet.Stats().Ready)
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		server.Close()
	})
	return fleet
}

func wait(t *testing.T, f *Fleet, done func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	require.NoError(t, f.Wait(ctx, done))
}

func TestFleetCountsLostAndRepeated(t *testing.T) {
	for _, protocol := range []Protocol{SocketIO, Centrifuge} {
		f := &fake{protocol: protocol}
		fleet := run(t, f, Config{Clients: 3, Room: func(i int) string { return "R" + strconv.Itoa(i) }, SourceAddrs: 3, Loops: 2}, false)
		wait(t, fleet, func(s Stats) bool { return s.Ready == 3 })
		fleet.SetNap(time.Millisecond)
		c := f.latest()
		for _, seq := range []int{1, 2, 2, 5, 4, 6} {
			f.event(c, seq)
		}
		wait(t, fleet, func(s Stats) bool { return s.Events == 6 })
		s := fleet.Stats()
		require.EqualValues(t, 2, s.Lost, "3 and 4")
		require.EqualValues(t, 2, s.Repeated, "the second 2, and 4 after 5")
		require.EqualValues(t, 3, s.Connects)
		require.EqualValues(t, 6, fleet.TakeLatency().Count())
		require.Zero(t, fleet.TakeLatency().Count())
		require.EqualValues(t, 3, fleet.TakeConnectTimes().Count())
		behind := fleet.Behind(func(_ int, k Kind) uint32 {
			if k == ToAll {
				return 7
			}
			return 0
		})
		require.EqualValues(t, 1+7+7, behind)
		f.mu.Lock()
		require.Len(t, f.rooms, 3)
		require.Equal(t, 3, f.pongs)
		f.mu.Unlock()
	}
}

func TestFleetRecoversAfterALoss(t *testing.T) {
	f := &fake{}
	fleet := run(t, f, Config{Clients: 1, Backoff: time.Millisecond}, false)
	wait(t, fleet, func(s Stats) bool { return s.Ready == 1 })
	f.event(f.latest(), 1)
	f.event(f.latest(), 2)
	wait(t, fleet, func(s Stats) bool { return s.Events == 2 })
	require.NoError(t, f.latest().Close())
	wait(t, fleet, func(s Stats) bool { return s.Connects == 2 })
	f.event(f.latest(), 4)
	wait(t, fleet, func(s Stats) bool { return s.Events == 3 })
	s := fleet.Stats()
	require.EqualValues(t, 1, s.Recovered)
	require.EqualValues(t, 1, s.Closed)
	require.EqualValues(t, 1, s.Lost, "a recovered session has to get 3")
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Equal(t, map[string]string{"token": "token0"}, f.auths[0])
	require.Equal(t, map[string]string{"token": "token0", "pid": "pid1", "offset": "102-0"}, f.auths[1])
}

func TestFleetCountsRefusals(t *testing.T) {
	f := &fake{refuse: "token_expired"}
	fleet := run(t, f, Config{Clients: 2}, false)
	wait(t, fleet, func(s Stats) bool { return s.Refused["token_expired"] == 2 })
	require.Zero(t, fleet.Stats().Ready)
}

func TestFleetGivesUpOnASilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	fleet, err := New(Config{URL: "ws://" + l.Addr().String(), Clients: 2, Token: func(int) string { return "" }, ConnectTimeout: 20 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	wait(t, fleet, func(s Stats) bool { return s.Failed == 2 })
	cancel()
	require.NoError(t, <-ended)
}

func TestFleetOverTLS(t *testing.T) {
	f := &fake{}
	fleet := run(t, f, Config{Clients: 2, Backoff: time.Millisecond, roots: x509.NewCertPool()}, true)
	wait(t, fleet, func(s Stats) bool { return s.Ready == 2 })
	fleet.Pause(0, true)
	fleet.Pause(0, false)
	c := f.latest()
	f.event(c, 1)
	wait(t, fleet, func(s Stats) bool { return s.Events == 1 })
	require.NoError(t, c.Close())
	wait(t, fleet, func(s Stats) bool { return s.Connects == 3 })
}

func TestFleetRefusesAnUnknownAuthority(t *testing.T) {
	f := &fake{}
	fleet := run(t, f, Config{Clients: 1}, true)
	wait(t, fleet, func(s Stats) bool { return s.Failed == 1 })
	require.Contains(t, fleet.Stats().LastError, "certificate", "an unknown authority is refused")
}

func TestPausedClientStopsReading(t *testing.T) {
	f := &fake{}
	fleet := run(t, f, Config{Clients: 1, Slow: func(int) bool { return true }}, false)
	wait(t, fleet, func(s Stats) bool { return s.Ready == 1 })
	fleet.Pause(0, true)
	f.event(f.latest(), 1)
	fleet.Pause(0, false)
	wait(t, fleet, func(s Stats) bool { return s.Events == 1 })
}

func TestConfigFaults(t *testing.T) {
	for _, url := range []string{"", "http://x", "ws://", "://"} {
		_, err := New(Config{URL: url, Clients: 1, Token: func(int) string { return "" }})
		require.ErrorContains(t, err, "is not ws://", url)
	}
	_, err := New(Config{URL: "ws://h:1"})
	require.ErrorContains(t, err, "Clients")
	require.ErrorContains(t, err, "Token")
}
