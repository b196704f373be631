package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/deploy/e2e/hostile/attack"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// short are settings for a few seconds.
func short(t *testing.T) settings {
	t.Helper()
	gateway := filepath.Join(t.TempDir(), "gateway")
	out, err := exec.Command("go", "build", "-o", gateway, "github.com/teloo/realtime-gateway/cmd/gateway").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return settings{
		gateway: gateway, duration: 4 * time.Second, reference: 2 * time.Second, settle: time.Minute, seed: 1, clients: 50,
		attackers: 16, rate: 100, handshakes: 600, atOnce: 50, progress: t.Logf, attack: attackHere,
	}
}

// timing are lines that a busy machine may get wrong in a few seconds.
func timing(what string) bool {
	return strings.Contains(what, " / ") || strings.Contains(what, "served in")
}

func requireHeld(t *testing.T, r *report, err error) {
	t.Helper()
	require.NoError(t, err)
	var table bytes.Buffer
	show(&table, []*report{r})
	t.Log("\n" + table.String())
	for _, l := range r.lines {
		if !timing(l.what) {
			require.True(t, l.ok, "%s is %s, may be %s", l.what, l.figure, l.bound)
		}
	}
}

func TestMalformedShortly(t *testing.T) {
	r, err := malformed(t.Context(), short(t))
	requireHeld(t, r, err)
	require.Greater(t, r.attacks.Total(), 100)
}

func TestBurstShortly(t *testing.T) {
	r, err := burst(t.Context(), short(t))
	requireHeld(t, r, err)
}

func TestReports(t *testing.T) {
	r := &report{scenario: "s", attacks: attack.Counts{"k": {attack.Refused: 3}}}
	r.notef("a", "%d", 1)
	require.False(t, r.failed())
	r.checkf(true, "b", "2", "%d", 2)
	require.False(t, r.failed())
	r.checkf(false, "c", "0", "%d", 3)
	require.True(t, r.failed())
	var out bytes.Buffer
	show(&out, []*report{r})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Equal(t, []string{"s", "a", "1"}, strings.Fields(lines[1]))
	require.Equal(t, []string{"s", "b", "2", "2", "ok"}, strings.Fields(lines[2]))
	require.Equal(t, []string{"s", "c", "3", "0", "FAILED"}, strings.Fields(lines[3]))
	require.Equal(t, []string{"k", "3", "0", "0", "0", "0"}, strings.Fields(lines[len(lines)-1]))
}

func TestTalliesAreJudged(t *testing.T) {
	h := &load.Histogram{}
	h.Record(time.Millisecond)
	for _, tc := range []struct {
		t      tally
		failed bool
	}{
		{tally{latency: h}, false},
		{tally{latency: &load.Histogram{}}, true},
		{tally{latency: h, lost: 1}, true},
		{tally{latency: h, repeated: 1}, true},
		{tally{latency: h, closed: 1}, true},
	} {
		r := &report{}
		r.tally("now", tc.t)
		require.Equal(t, tc.failed, r.failed(), tc.t)
	}
}

func TestEventsAreNumbered(t *testing.T) {
	c := &crowd{clients: 100, seqUser: make([]uint32, 100), seqRoom: make([]uint32, 2)}
	const n = 6000
	for i := range uint64(n) {
		require.NotEmpty(t, c.next(i, time.Now()).Data)
	}
	sum := c.seqAll
	for _, s := range append(append([]uint32{}, c.seqUser...), c.seqRoom...) {
		require.NotZero(t, s, "everybody is sent something")
		sum += s
	}
	require.EqualValues(t, n, sum)
	require.EqualValues(t, n/30, c.seqAll)
}

func TestScenariosAreChosen(t *testing.T) {
	chosen, err := choose("slow,burst")
	require.NoError(t, err)
	require.Equal(t, "slow", chosen[0].name)
	_, err = choose("slow,kind")
	require.ErrorContains(t, err, `"kind"`)
	require.Error(t, (&settings{clients: 60, duration: 1}).check())
	require.ErrorContains(t, (&settings{clients: 50, duration: 1, gateway: "none"}).check(), "make build")
}

func TestProcesses(t *testing.T) {
	p, err := spawn(t.TempDir(), "sh", []string{"WORD=panic"}, "sh", "-c", "echo first; echo a $WORD; echo $WORD; exec sleep 60")
	require.NoError(t, err)
	require.NoError(t, until(t.Context(), "it has spoken", 10*time.Second, func() error {
		if n, line := p.count("panic"); n != 2 || line != "a panic" {
			return errors.New(line)
		}
		return nil
	}))
	require.Equal(t, "a panic", (&stage{node: p}).fault())
	var u usage
	require.NoError(t, until(t.Context(), "it has become another program", 10*time.Second, func() (err error) {
		if u, err = p.usage(); err == nil && u.residentKB == 0 {
			err = errors.New("no memory yet")
		}
		return err
	}))
	require.Positive(t, u.files)
	require.Equal(t, 1, u.threads)
	p.stop()
	require.False(t, p.running())
	_, err = p.usage()
	require.Error(t, err)
	(*process)(nil).stop()
	_, err = spawn(t.TempDir(), "x", nil, "/nowhere")
	require.Error(t, err)
}

func TestUntilSaysWhatItWaitedFor(t *testing.T) {
	err := until(t.Context(), "the sun rises", 30*time.Millisecond, func() error { return os.ErrNotExist })
	require.ErrorContains(t, err, "the sun rises")
	require.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, until(ctx, "x", time.Hour, func() error { return os.ErrNotExist }), context.Canceled)
}

func TestAnswersText(t *testing.T) {
	require.Equal(t, "3 b, 1 a, 1 c", answersText(map[string]int{"a": 1, "b": 3, "c": 1}))
}
