package limits

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func proxies(t testing.TB, list string) []netip.Prefix {
	t.Helper()
	p, err := ParseProxies(list)
	require.NoError(t, err)
	return p
}

func TestParseProxies(t *testing.T) {
	for list, want := range map[string]string{
		"":                                 "",
		" , ":                              "",
		"10.0.0.7":                         "10.0.0.7/32",
		"10.0.0.0/8, ::1":                  "10.0.0.0/8 ::1/128",
		"Loopback":                         "127.0.0.0/8 ::1/128",
		"private":                          "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
		"::ffff:10.0.0.7,::ffff:0.0.0.0/8": "fault",
		"::ffff:10.0.0.0/104":              "10.0.0.0/8",
		"::ffff:10.0.0.7":                  "10.0.0.7/32",
	} {
		got, err := ParseProxies(list)
		if want == "fault" {
			require.ErrorIs(t, err, ErrProxies, list)
			continue
		}
		require.NoError(t, err, list)
		var texts []string
		for _, p := range got {
			texts = append(texts, p.String())
		}
		require.Equal(t, want, strings.Join(texts, " "), list)
	}
	for list, want := range map[string]string{
		"haproxy":                  `"haproxy" is no address`,
		"10.0.0.7:80":              "is no address",
		"10.0.0.0/33":              "is no address",
		"fe80::1%eth0":             "has a zone",
		"10.0.0.7/8":               "10.0.0.0/8 is meant",
		"0.0.0.0/0":                "trusts everybody",
		"::/0":                     "trusts everybody",
		strings.Repeat("x", 10000): "is no address",
	} {
		_, err := ParseProxies("127.0.0.1," + list)
		require.ErrorIs(t, err, ErrProxies)
		require.ErrorContains(t, err, want)
		require.Less(t, len(err.Error()), 200)
	}
}

func TestClientAddr(t *testing.T) {
	const trust = "10.0.0.0/8,2001:db8:1::/48"
	long := strings.Repeat("10.0.0.3,", 100)
	for name, tc := range map[string]struct {
		peer string
		xff  []string
		want string
	}{
		"direct":                                {"203.0.113.9:1", nil, "203.0.113.9"},
		"forged by a client":                    {"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		"proxy without a header":                {"10.0.0.1:1", nil, "10.0.0.1"},
		"one proxy":                             {"10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"forged through a proxy":                {"10.0.0.1:1", []string{"198.51.100.1, 203.0.113.9"}, "203.0.113.9"},
		"forged as a proxy":                     {"10.0.0.1:1", []string{"10.0.0.2, 203.0.113.9"}, "203.0.113.9"},
		"forged in a line of its own":           {"10.0.0.1:1", []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9"},
		"a chain of proxies":                    {"10.0.0.1:1", []string{"198.51.100.1,203.0.113.9,10.0.0.3 , 10.0.0.2"}, "203.0.113.9"},
		"a chain over lines":                    {"10.0.0.1:1", []string{"198.51.100.1", "203.0.113.9, 10.0.0.3", "10.0.0.2"}, "203.0.113.9"},
		"nobody but proxies":                    {"10.0.0.1:1", []string{"10.0.0.3,10.0.0.2"}, "10.0.0.3"},
		"IPv6":                                  {"[2001:db8:1::1]:1", []string{"2001:db8:2::7"}, "2001:db8:2::7"},
		"peer in mapped form":                   {"[::ffff:10.0.0.1]:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"client in mapped form":                 {"10.0.0.1:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"zones are one host":                    {"10.0.0.1:1", []string{"fe80::1%any"}, "fe80::1"},
		"peer with a zone":                      {"[fe80::1%eth0]:1", nil, "fe80::1"},
		"with a port":                           {"10.0.0.1:1", []string{"203.0.113.9:8080"}, "203.0.113.9"},
		"IPv6 with a port":                      {"10.0.0.1:1", []string{"[2001:db8:2::7]:8080"}, "2001:db8:2::7"},
		"IPv6 in brackets":                      {"10.0.0.1:1", []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		"malformed":                             {"10.0.0.1:1", []string{"unknown"}, "10.0.0.1"},
		"malformed behind a proxy":              {"10.0.0.1:1", []string{"198.51.100.1,_hidden,10.0.0.2"}, "10.0.0.2"},
		"malformed before the client is unread": {"10.0.0.1:1", []string{"';--, 203.0.113.9"}, "203.0.113.9"},
		"empty":                                 {"10.0.0.1:1", []string{""}, "10.0.0.1"},
		"empty entry":                           {"10.0.0.1:1", []string{"203.0.113.9,,10.0.0.2"}, "10.0.0.2"},
		"brackets alone":                        {"10.0.0.1:1", []string{"[]"}, "10.0.0.1"},
		"an entry too long":                     {"10.0.0.1:1", []string{strings.Repeat("9", 60000)}, "10.0.0.1"},
		"much before the client":                {"10.0.0.1:1", []string{strings.Repeat("9", 60000) + ",203.0.113.9"}, "203.0.113.9"},
		"too many proxies":                      {"10.0.0.1:1", []string{"203.0.113.9," + long + "10.0.0.2"}, "10.0.0.3"},
		"no peer":                               {"@", []string{"203.0.113.9"}, "invalid IP"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
			if tc.xff != nil {
				r.Header["X-Forwarded-For"] = tc.xff
			}
			require.Equal(t, tc.want, ClientAddr(r, proxies(t, trust)).String())
		})
	}
}

func TestGroup(t *testing.T) {
	for addr, want := range map[string]string{
		"203.0.113.9": "203.0.113.9", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::": "2001:db8:1:2::",
	} {
		require.Equal(t, want, Group(netip.MustParseAddr(addr)).String())
	}
	require.False(t, Group(netip.Addr{}).IsValid())
}

func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1:1", "198.51.100.1, 203.0.113.9", "10.0.0.2")
	f.Add("[::ffff:10.0.0.1]:1", "[2001:db8::1]:80", "fe80::1%x,10.0.0.1")
	f.Add("203.0.113.9:1", "unknown, _x", ",,")
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		trust := proxies(t, "10.0.0.0/8,fc00::/7")
		r := &http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {first, second}}}
		own, err := netip.ParseAddrPort(peer)
		got := ClientAddr(r, trust)
		if err != nil {
			require.False(t, got.IsValid())
			return
		}
		require.True(t, got.IsValid())
		require.Equal(t, plain(got), got)
		require.Equal(t, plain(own.Addr()), ClientAddr(r, nil), "nobody is trusted by default")
		if !trusted(plain(own.Addr()), trust) {
			require.Equal(t, plain(own.Addr()), got)
			return
		}
		// What a trusted proxy appends is all that counts, whatever the client sent.
		r.Header["X-Forwarded-For"] = []string{first, second + ", 203.0.113.9"}
		require.Equal(t, "203.0.113.9", ClientAddr(r, trust).String())
		r.Header["X-Forwarded-For"] = []string{first, second, "203.0.113.9"}
		require.Equal(t, "203.0.113.9", ClientAddr(r, trust).String())
	})
}

func FuzzParseProxies(f *testing.F) {
	for _, seed := range []string{"loopback,private", "10.0.0.0/8, ::1", "::ffff:10.0.0.0/104", "0.0.0.0/0", "fe80::1%x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got, err := ParseProxies(list)
		if err != nil {
			require.ErrorIs(t, err, ErrProxies)
			require.Nil(t, got)
			return
		}
		cfg := DefaultConfig()
		cfg.TrustedProxies = got
		require.NoError(t, cfg.Validate())
		for _, p := range got {
			require.True(t, p.Contains(plain(p.Addr())), "it trusts what it says")
		}
	})
}
