package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

func entries(t *testing.T, c *redis.Client) []redis.XMessage {
	t.Helper()
	got, err := c.XRange(context.Background(), "{teloo}:events", "-", "+").Result()
	require.NoError(t, err)
	return got
}

func eventLine(i int) string {
	return fmt.Sprintf(`{"event":"solicitud_changed","data":{"solicitud_id":%d}}`, i)
}

func TestPublishOne(t *testing.T) {
	server := redistest.Start(t)
	r := gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, "", "publish",
		"--event", "oferta_submitted", "--data", `{"solicitud_id":"S","price":12345678901234567890}`, "--rooms", "admin,user_A", "--event-id", "e1")
	require.Equal(t, exitOK, r.code, r.stderr)
	got := entries(t, server.Client())
	require.Len(t, got, 1)
	require.Equal(t, got[0].ID+"\n", r.stdout)
	require.Equal(t, map[string]any{
		"event": "oferta_submitted", "data": `{"solicitud_id":"S","price":12345678901234567890}`, "rooms": `["admin","user_A"]`, "event_id": "e1",
	}, got[0].Values)
}

func TestPublishLines(t *testing.T) {
	server := redistest.Start(t)
	environ := []string{"REDIS_URL=redis://" + server.Addr()}
	const n = 1000
	var b strings.Builder
	for i := range n {
		b.WriteString(eventLine(i) + "\n")
		if i%100 == 0 {
			b.WriteString("\n")
		}
	}
	for name, args := range map[string][]string{
		"stdin": {"publish"}, "dash": {"publish", "--file", "-"}, "file": {"publish", "--file", filepath.Join(t.TempDir(), "events")},
	} {
		t.Run(name, func(t *testing.T) {
			c := server.Client()
			require.NoError(t, c.FlushAll(context.Background()).Err())
			stdin := b.String()
			if name == "file" {
				require.NoError(t, os.WriteFile(args[2], []byte(stdin), 0o600))
				stdin = ""
			}
			r := gateway(t, environ, stdin, args...)
			require.Equal(t, exitOK, r.code, r.stderr)
			require.Regexp(t, `^published 1000, rejected 0, in \S+ \(\d+/s\) to \{teloo\}:events on single 127\.0\.0\.1:\d+\n$`, r.stdout)
			require.Empty(t, r.stderr)
			got := entries(t, c)
			require.Len(t, got, n)
			for i, e := range got {
				require.Equal(t, fmt.Sprintf(`{"solicitud_id":%d}`, i), e.Values["data"])
			}
		})
	}
}

func TestPublishNamesBadLines(t *testing.T) {
	server := redistest.Start(t)
	lines := []string{
		eventLine(1),
		`{"event":"solicitud_changed","data":[]}`,
		`not JSON`,
		`{"event":"pago_hecho","data":{}}`,
		`{"event":"notificacion_x","data":{}}`,
		`{"event":"oferta_x","data":{"solicitud_id":"` + strings.Repeat("x", 300<<10) + `"}}`,
		`{"event":"oferta_x","data":{"solicitud_id":"S"},"event_id":""}`,
		eventLine(2), // no line end
	}
	r := gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, strings.Join(lines, "\n"), "publish")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stdout, "published 2, rejected 6,")
	for i := 2; i <= 7; i++ {
		require.Contains(t, r.stderr, fmt.Sprintf("gateway: line %d: ", i))
	}
	require.Equal(t, 6, strings.Count(r.stderr, "\n"), r.stderr)
	require.Less(t, len(r.stderr), 2000, "a bad line is not repeated at length")
	require.Len(t, entries(t, server.Client()), 2)
}

func TestPublishCountsManyBadLines(t *testing.T) {
	server := redistest.Start(t)
	r := gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, strings.Repeat("x\n", 100), "publish")
	require.Equal(t, exitFailure, r.code)
	require.Equal(t, publishReports+1, strings.Count(r.stderr, "\n"))
	require.Contains(t, r.stderr, "gateway: 100 lines are no events, 80 of them not shown\n")
}

// TestPublishFollowsItsInput: an event is sent although the input has not ended.
func TestPublishFollowsItsInput(t *testing.T) {
	server := redistest.Start(t)
	in, feed := io.Pipe()
	done := make(chan result, 1)
	go func() { done <- gatewayFrom(t, []string{"REDIS_URL=redis://" + server.Addr()}, in, "publish") }()
	c := server.Client()
	for i := 1; i <= 3; i++ {
		_, err := io.WriteString(feed, eventLine(i)+"\n")
		require.NoError(t, err)
		require.Eventually(t, func() bool { return len(entries(t, c)) == i }, 10*time.Second, 5*time.Millisecond)
	}
	require.NoError(t, feed.CloseWithError(errors.New("the disk is gone")))
	r := <-done
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "reading line 4: the disk is gone")
	require.Contains(t, r.stdout, "published 3, rejected 0,")
}

func TestPublishStopsOnSignal(t *testing.T) {
	server := redistest.Start(t)
	in, feed := io.Pipe()
	defer func() { _ = feed.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	var out, errs strings.Builder
	a := &app{stdin: in, stdout: &out, stderr: &errs, environ: []string{"REDIS_URL=redis://" + server.Addr()}}
	go func() { done <- a.run(ctx, []string{"--env-file", "", "publish"}) }()
	_, err := io.WriteString(feed, eventLine(1)+"\n")
	require.NoError(t, err)
	cancel()
	require.Equal(t, exitFailure, <-done)
	require.Contains(t, errs.String(), "stopped: context canceled")
}

func TestPublishFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		environ []string
		args    []string
		want    string
	}{
		"bad event":     {nil, []string{"--event", "pago_hecho"}, "unknown_event"},
		"no room":       {nil, []string{"--event", "notificacion_x"}, "no_route"},
		"bad data":      {nil, []string{"--event", "oferta_x", "--data", "7"}, "bad_data"},
		"both":          {nil, []string{"--event", "oferta_x", "--file", "f"}, "--event and --file exclude each other"},
		"missing file":  {nil, []string{"--file", "/nowhere"}, "--file: open /nowhere: no such file"},
		"configuration": {[]string{"REDIS_MODE=x", "PORT=y"}, nil, "REDIS_MODE: \"x\" is none of"},
		"no Redis":      {[]string{"REDIS_PORT=1", "REDIS_HOST=127.0.0.1"}, []string{"--event", "notificacion_x", "--data", `{"user_id":1}`}, "publishing to {teloo}:events on single 127.0.0.1:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			r := gateway(t, tc.environ, "", append([]string{"publish"}, tc.args...)...)
			require.Equal(t, exitFailure, r.code)
			require.Contains(t, r.stderr, tc.want)
			require.NotContains(t, r.stderr, "PORT")
		})
	}
}

func TestPublishReportsWhatMayBeWritten(t *testing.T) {
	server := redistest.Start(t)
	require.NoError(t, server.Client().Set(context.Background(), "{teloo}:events", "no stream", 0).Err())
	r := gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, eventLine(1)+"\n"+eventLine(2), "publish")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "lines 1 to 2, which may be written in part, to {teloo}:events")
	require.Contains(t, r.stderr, "WRONGTYPE")
	require.Contains(t, r.stdout, "published 0, rejected 0,")
}

func TestPublishToACluster(t *testing.T) {
	server := redistest.Start(t, "--cluster-enabled", "yes")
	c := server.Client()
	ctx := context.Background()
	require.NoError(t, c.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err())
	require.Eventually(t, func() bool {
		info, err := c.ClusterInfo(ctx).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok")
	}, 20*time.Second, 10*time.Millisecond)
	r := gateway(t, []string{"REDIS_MODE=cluster", "REDIS_ADDRS=" + server.Addr()}, eventLine(1)+"\n"+eventLine(2), "publish")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, "published 2, rejected 0,")
	require.Len(t, entries(t, c), 2)
}

func TestPublishToTheEmbeddedRedis(t *testing.T) {
	server := miniredis.RunT(t)
	r := gateway(t, []string{"REDIS_URL=redis://" + server.Addr()}, eventLine(1), "publish")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, "published 1,")
}

func TestProgress(t *testing.T) {
	var none *progress
	none.add(1)
	none.clear()
	none.finish()
	require.Nil(t, newProgress(io.Discard, 1, false))
	require.False(t, isTerminal(&strings.Builder{}))

	var out strings.Builder
	p := newProgress(&out, 100, true)
	p.add(10)
	require.Empty(t, out.String(), "short work shows no bar")
	p.start = p.start.Add(-time.Second)
	p.add(40)
	require.Contains(t, out.String(), "publishing  50%")
	p.clear()
	p.finish()
}

func FuzzReadLines(f *testing.F) {
	f.Add("a\nb", 3)
	f.Add("\n\n", 1)
	f.Add("long", publishMaxLine)
	f.Fuzz(func(t *testing.T, text string, times int) {
		input := strings.Repeat(text, 1+min(max(times, 0), 1<<20/(1+len(text))))
		lines := make(chan line)
		ended := make(chan error, 1)
		go func() { ended <- readLines(context.Background(), strings.NewReader(input), lines) }()
		read := 0
		var b strings.Builder
		long := false
		for l := range lines {
			read += l.read
			b.Write(l.text)
			long = long || l.long
			require.LessOrEqual(t, len(l.text), publishMaxLine)
		}
		require.NoError(t, <-ended)
		require.Equal(t, len(input), read)
		require.True(t, long || b.String() == input)
	})
}
