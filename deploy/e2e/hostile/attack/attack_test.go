package attack

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func token(i int) string { return "token-" + string(rune('a'+i)) }

func config(addr string) Config { return Config{Addr: addr, Token: token, Seed: 1, Users: 3} }

// sink listens and answers every request with the same, whatever it is; what it hears of each connection goes to heard.
func sink(t *testing.T, answer string, heard chan<- []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, answer)
			all, _ := io.ReadAll(c)
			_ = c.Close()
			heard <- all
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String()
}

// What a seed's n-th attack sends is the same each time, and not what another sends.
func TestAttacksAreRepeatable(t *testing.T) {
	heard := make(chan []byte, 100)
	addr := sink(t, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x0240", heard)
	play := func(seed uint64, only string, n int) []byte {
		cfg := config(addr)
		cfg.Seed, cfg.Only, cfg.First, cfg.Count, cfg.Attackers, cfg.Hold = seed, only, n, 1, 1, time.Millisecond
		_, err := Run(context.Background(), cfg)
		require.NoError(t, err)
		return <-heard
	}
	for _, only := range []string{"frame-noise", "packet-bad-ids", "http-bad-sid", "user-foreign-session"} {
		first := play(1, only, 7)
		require.NotEmpty(t, first)
		require.Equal(t, first, play(1, only, 7), only)
		require.NotEqual(t, first, play(1, only, 8), only)
		require.NotEqual(t, first, play(2, only, 7), only)
	}
}

func TestAttacksOfASeedAreTheSame(t *testing.T) {
	list := func(seed uint64) []string {
		c := &campaign{cfg: Config{Seed: seed}}
		var names []string
		for n := range 500 {
			names = append(names, c.newAssault(context.Background(), n).kind.name)
		}
		return names
	}
	first := list(1)
	require.Equal(t, first, list(1))
	require.NotEqual(t, list(1), list(2))
	seen := map[string]bool{}
	for _, name := range append(append(list(1), list(2)...), list(3)...) {
		seen[name] = true
	}
	require.Len(t, seen, len(KindNames()), "every kind comes up")
}

func TestFramesAreWhatTheySay(t *testing.T) {
	a := &assault{rng: rand.New(rand.NewPCG(1, 1)), campaign: &campaign{cfg: config("")}}
	for _, size := range []int{0, 5, 125, 126, 65_535, 65_536} {
		raw := a.frame(0x81, bytes.Repeat([]byte("x"), size))
		require.Equal(t, byte(0x81), raw[0])
		require.NotZero(t, raw[1]&0x80, "clients mask")
		require.Len(t, raw, size+map[bool]int{true: 6, false: map[bool]int{true: 8, false: 14}[size < 65_536]}[size < 126])
	}
	for name, frames := range frameAttacks() {
		raw := frames(a)
		require.NotEmpty(t, raw, name)
		require.Less(t, len(raw), 1<<20, name)
	}
	for name, packets := range packetAttacks() {
		list := packets(a)
		require.NotEmpty(t, list, name)
		require.Less(t, len(strings.Join(list, "")), 1<<20, name)
	}
}

func TestCounts(t *testing.T) {
	c := Counts{}
	c.add("b", Refused)
	c.add("b", Refused)
	c.add("a", Failed)
	require.Equal(t, 3, c.Total())
	require.Equal(t, 1, c.Total(Failed, Unreached))
	require.Equal(t, []string{"a", "b"}, c.Kinds())
}

func TestOutcomes(t *testing.T) {
	heard := make(chan []byte, 100)
	for answer, want := range map[string]Outcome{
		"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n":         Refused,
		"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n":        Refused,
		"HTTP/1.1 500 Sorry\r\nContent-Length: 0\r\n\r\n":       Failed,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":        Kept,
		"HTTP/1.1 101 Switching\r\nContent-Length: 2\r\n\r\nok": Kept,
	} {
		cfg := config(sink(t, answer, heard))
		cfg.Only, cfg.Count, cfg.Attackers = "http-bad-method", 1, 1
		counts, err := Run(context.Background(), cfg)
		require.NoError(t, err)
		require.Equal(t, Counts{"http-bad-method": {want: 1}}, counts, answer)
		<-heard
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	cfg := config(l.Addr().String())
	cfg.Count = 200
	counts, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Equal(t, 200, counts.Total(Unreached))
}

func TestNobodyElseIsAttacked(t *testing.T) {
	for _, addr := range []string{"", "192.0.2.1:80", "example.org:80", "localhost:80", "[::1]:80", "0.0.0.0:80", "127.0.0.1"} {
		_, err := Run(context.Background(), config(addr))
		require.ErrorContains(t, err, "127.0.0.0/8", addr)
		_, err = Burst(context.Background(), BurstConfig{Addr: addr, Count: 1, AtOnce: 1, Addresses: 1})
		require.ErrorContains(t, err, "127.0.0.0/8", addr)
	}
	_, err := Run(context.Background(), Config{Addr: "127.0.0.1:1", Only: "kindness", Attackers: 5000})
	require.ErrorContains(t, err, "Token")
	require.ErrorContains(t, err, "kindness")
	require.ErrorContains(t, err, "out of range")
}

func TestBurstCountsAnswers(t *testing.T) {
	heard := make(chan []byte, 100)
	const upgraded = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	for answer, want := range map[string]string{
		upgraded + "\x81\x1944{\"data\":{\"code\":\"gone\"}}": "gone",
		upgraded + "\x81\x0240":                               BurstTaken,
		"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n":  "http 429",
		"SSH-2.0\r\n": BurstNoAnswer,
	} {
		answers, err := Burst(context.Background(), BurstConfig{Addr: sink(t, answer, heard), Count: 3, AtOnce: 2, Addresses: 2})
		require.NoError(t, err)
		require.Equal(t, map[string]int{want: 3}, answers)
		for range 3 {
			<-heard
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	heard := make(chan []byte, 1000)
	cfg := config(sink(t, "", heard))
	cfg.Only, cfg.Attackers, cfg.Hold = "http-slow-headers", 4, time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	counts, err := Run(ctx, cfg)
	require.NoError(t, err)
	require.NotZero(t, counts.Total())
}
