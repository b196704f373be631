package gossip

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/stretchr/testify/require"
)

func validConfig() Config {
	cfg := DefaultConfig()
	cfg.Identity = "a:1"
	return cfg
}

func TestConfigFaults(t *testing.T) {
	require.NoError(t, validConfig().Validate())
	for name, c := range map[string]struct {
		change func(*Config)
		fault  string
	}{
		"no port":               {func(c *Config) { c.Bind = "host" }, "bind"},
		"a port out of range":   {func(c *Config) { c.Bind = ":70000" }, "bind"},
		"advertise nobody":      {func(c *Config) { c.Advertise = ":1" }, "advertise"},
		"a seed without port":   {func(c *Config) { c.Seeds = []string{"a:1", "b"} }, `seed "b"`},
		"a seed of port 0":      {func(c *Config) { c.Seeds = []string{"b:0"} }, `seed "b:0"`},
		"a seed without host":   {func(c *Config) { c.Seeds = []string{":1"} }, `seed ":1"`},
		"no identity":           {func(c *Config) { c.Identity = "" }, "identity"},
		"a long identity":       {func(c *Config) { c.Identity = strings.Repeat("x", 129) }, "identity"},
		"control characters":    {func(c *Config) { c.Identity = "a\n" }, "identity"},
		"long metadata":         {func(c *Config) { c.Meta.Addr = strings.Repeat("x", 486) }, "metadata"},
		"no probes":             {func(c *Config) { c.ProbeInterval = 0 }, "probe interval"},
		"a long probe":          {func(c *Config) { c.ProbeTimeout = c.ProbeInterval }, "probe timeout"},
		"no suspicion":          {func(c *Config) { c.SuspicionMult = 0 }, "suspicion"},
		"an endless farewell":   {func(c *Config) { c.LeaveTimeout = 2 * time.Hour }, "leave timeout"},
		"a join without a pace": {func(c *Config) { c.JoinEvery = -1 }, "join interval"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := validConfig()
			c.change(&cfg)
			require.ErrorContains(t, cfg.Validate(), c.fault)
			_, err := New(cfg, Deps{Log: slog.New(slog.DiscardHandler)})
			require.ErrorContains(t, err, c.fault)
		})
	}
	cfg := Config{}
	for _, fault := range []string{"bind", "identity", "probe interval", "suspicion"} {
		require.ErrorContains(t, cfg.Validate(), fault)
	}
}

func TestAddresses(t *testing.T) {
	for name, c := range map[string]struct {
		bind, advertise string
		want            addresses
	}{
		"one":                {"127.0.0.2:1", "", addresses{bind: net.ParseIP("127.0.0.2"), advertise: net.ParseIP("127.0.0.2"), port: 1}},
		"a name":             {"localhost:1", "10.0.0.1:9", addresses{bind: net.ParseIP("127.0.0.1"), advertise: net.ParseIP("10.0.0.1"), port: 1, advertisePort: 9}},
		"all, told":          {":7946", "10.0.0.1", addresses{bind: net.IPv4zero, advertise: net.ParseIP("10.0.0.1"), port: 7946}},
		"all, told a v6":     {":7946", "fd00::1", addresses{bind: net.IPv6unspecified, advertise: net.ParseIP("fd00::1"), port: 7946}},
		"told with brackets": {":7946", "[fd00::1]:5", addresses{bind: net.IPv6unspecified, advertise: net.ParseIP("fd00::1"), port: 7946, advertisePort: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Config{Bind: c.bind, Advertise: c.advertise}.addresses()
			require.NoError(t, err)
			require.True(t, c.want.bind.Equal(got.bind), got.bind)
			require.True(t, c.want.advertise.Equal(got.advertise), got.advertise)
			require.Equal(t, c.want.port, got.port)
			require.Equal(t, c.want.advertisePort, got.advertisePort)
		})
	}
	got, err := Config{Bind: "0.0.0.0:0"}.addresses()
	require.NoError(t, err)
	require.False(t, got.advertise.IsUnspecified(), "others need a real address")
	for _, c := range []Config{{Bind: "x"}, {Bind: "nowhere.invalid:1"}, {Bind: ":1", Advertise: "nowhere.invalid"}, {Bind: ":1", Advertise: ":"}} {
		_, err := c.addresses()
		require.Error(t, err)
	}
}

func TestReachable(t *testing.T) {
	ip := func(s string) net.Addr {
		_, n, err := net.ParseCIDR(s + "/24")
		if err != nil {
			_, n, err = net.ParseCIDR(s + "/64")
		}
		require.NoError(t, err)
		n.IP = net.ParseIP(s)
		return n
	}
	for _, c := range []struct {
		own  []string
		want string
	}{
		{nil, "127.0.0.1"},
		{[]string{"127.0.0.1", "fe80::1"}, "127.0.0.1"},
		{[]string{"2001:db8::1"}, "2001:db8::1"},
		{[]string{"2001:db8::1", "fd00::1"}, "fd00::1"},
		{[]string{"fd00::1", "192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.1", "10.1.1.1", "10.1.1.2"}, "10.1.1.1"},
	} {
		own := []net.Addr{&net.UnixAddr{}}
		for _, s := range c.own {
			own = append(own, ip(s))
		}
		require.Equal(t, c.want, reachable(own).String())
	}
}

func TestForgetsTheLongEnded(t *testing.T) {
	m := newMembers("self")
	for i := range rememberEndedMax + 10 {
		n := &memberlist.Node{Name: fmt.Sprintf("n:%d", i), Addr: net.IPv4(127, 0, 0, 1), Port: 1, Meta: []byte("{}")}
		m.NotifyJoin(n)
		m.NotifyLeave(n)
	}
	joined, left := m.news()
	require.Empty(t, joined)
	require.Len(t, left, rememberEndedMax+10)
	require.Len(t, m.nodes, rememberEndedMax)
	_, seen := m.find("n:0")
	require.False(t, seen)
	m.mu.Lock()
	m.forget(time.Now().Add(rememberEnded + time.Minute))
	m.mu.Unlock()
	require.False(t, m.any())
	require.Zero(t, m.others())
}

func TestNews(t *testing.T) {
	m := newMembers("self")
	n := &memberlist.Node{Name: "n:1", Meta: []byte(`{"name":"n"}`)}
	m.NotifyJoin(&memberlist.Node{Name: "self"})
	require.Zero(t, m.changes.Load())
	m.NotifyJoin(n)
	joined, left := m.news()
	require.Equal(t, []Member{{Identity: "n:1", Meta: Meta{Name: "n"}}}, joined)
	require.Empty(t, left)
	m.NotifyLeave(n)
	m.NotifyJoin(n)
	joined, left = m.news()
	require.Empty(t, joined, "what cancels out is no news")
	require.Empty(t, left)
	n.Meta = []byte("not JSON")
	m.NotifyUpdate(n)
	require.EqualValues(t, 1, m.badMeta.Load())
	require.EqualValues(t, 4, m.changes.Load(), "each that list shows")
	require.Equal(t, []Member{{Identity: "n:1"}}, m.list())
}

func TestLogLines(t *testing.T) {
	var buf logBuffer
	logger := newLogger(slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug})))
	logger.Print("[WARN] memberlist: careful")
	logger.Print("[DEBUG] memberlist: detail")
	logger.Print("no level " + strings.Repeat("x", 2*maxLogLine))
	require.True(t, buf.has(`level=WARN msg=memberlist detail=careful`))
	require.True(t, buf.has(`level=DEBUG msg=memberlist detail=detail`))
	require.True(t, buf.has("no level"))
	require.False(t, buf.has(strings.Repeat("x", maxLogLine)))
	for range 3 * warningsBurst {
		logger.Print("[ERR] memberlist: noise")
	}
	buf.mu.Lock()
	defer buf.mu.Unlock()
	require.Less(t, strings.Count(buf.buf.String(), "level=WARN"), 3*warningsBurst)
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add([]byte(`{"name":"a","addr":"b:1","version":"1","draining":true}`))
	f.Add([]byte(`{"name":7}`))
	f.Add([]byte(`null`))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decodeMeta(raw)
		if err == nil && len(raw) > memberlist.MetaMaxSize {
			t.Fatalf("%+v of %d bytes", m, len(raw))
		}
	})
}

func FuzzSplitBind(f *testing.F) {
	for _, seed := range []string{":7946", "a:1", "[::1]:2", "x", ":", ":99999", "a:b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		if _, port, err := splitBind(addr); err == nil && (port < 0 || port > 65535) {
			t.Fatalf("%q: %d", addr, port)
		}
		_, _, _ = splitAdvertise(addr, 1)
	})
}
