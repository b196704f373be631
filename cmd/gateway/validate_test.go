package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/api/admin"
	"github.com/teloo/realtime-gateway/deploy/redistest"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/streams"
)

func validating(t testing.TB, mode string) (*validation, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	v, err := newValidation(mode, slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	return v, &log
}

func someEvent(name, data string) streams.Event {
	return streams.Event{ID: "1-1", Name: name, Data: json.RawMessage(data)}
}

const (
	goodOffer = `{"solicitud_id":"S","advisor_id":"A","price":9007199254740993}`
	badOffer  = `{"solicitud_id":"S","advisor_id":"A","price":"private"}`
)

func TestValidationOffIsNone(t *testing.T) {
	v, _ := validating(t, validateOff)
	require.Nil(t, v)
	require.NoError(t, v.check(someEvent("oferta_submitted", badOffer)))
}

func TestValidationWarnsNowAndThen(t *testing.T) {
	v, log := validating(t, validateWarn)
	at := time.Now()
	v.now = func() time.Time { return at }
	for range 5 {
		require.NoError(t, v.check(someEvent("oferta_submitted", badOffer)))
	}
	require.NoError(t, v.check(someEvent("oferta_submitted", goodOffer)))
	require.NoError(t, v.check(someEvent("evaluacion_other", `{"solicitud_id":1}`)))
	require.Equal(t, 1, strings.Count(log.String(), "does not keep its schema"))
	require.NotContains(t, log.String(), "private")
	at = at.Add(warnEvery)
	require.NoError(t, v.check(someEvent("oferta_submitted", badOffer)))
	require.Contains(t, log.String(), `event=oferta_submitted id=1-1 others=4 err="/price is string instead of number"`)
	require.EqualValues(t, 6, v.counts[1][outcomeInvalid].Load())
	require.EqualValues(t, 1, v.counts[1][outcomeValid].Load())
	require.EqualValues(t, 1, v.counts[2][outcomeFamily].Load())
}

func TestValidationEnforced(t *testing.T) {
	store := redistest.Start(t)
	p, _ := startParts(t, func(c *Config) {
		c.NodeName, c.RedisURL, c.ValidateEvents = "n1", secret("redis://"+store.Addr()), validateEnforce
	})
	publisher := p.cfg.newPublisher(p.commands)
	for _, data := range []string{goodOffer, badOffer} {
		ev := someEvent("oferta_submitted", data)
		ev.ID = ""
		_, err := publisher.Publish(context.Background(), ev)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		s := p.consumer.Stats()
		return s.Relayed == 1 && s.Dead[reasonInvalidSchema] == 1
	}, 20*time.Second, 10*time.Millisecond)
	dead, err := p.commands.XRange(context.Background(), p.cfg.RedisPrefix+":dead", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.JSONEq(t, badOffer, dead[0].Values["data"].(string))
	require.Equal(t, "/price is string instead of number", dead[0].Values["dead_detail"])
	require.Contains(t, scrapeOf(t, p), `teloo_events_validated_total{kind="oferta",outcome="invalid"} 1`)
}

// TestAdminPublishRefusesWhatWouldBeADeadLetter, and counts nothing, for the event is validated where it is relayed.
func TestAdminPublishRefusesWhatWouldBeADeadLetter(t *testing.T) {
	store := redistest.Start(t)
	fields := map[string]string{"event": "oferta_submitted", "data": badOffer}
	for mode, refused := range map[string]bool{validateOff: false, validateWarn: false, validateEnforce: true} {
		v, log := validating(t, mode)
		commands := store.Client()
		o := operators{&parts{router: node.NewRouter(defaultConfig().JWTRoles), validation: v}, streams.NewPublisher(commands, "{"+mode+"}")}
		_, err := o.Publish(context.Background(), fields)
		if refused {
			require.ErrorIs(t, err, admin.ErrInvalid)
			require.ErrorContains(t, err, "/price is string instead of number")
			require.Zero(t, v.counts[1][outcomeInvalid].Load())
		} else {
			require.NoError(t, err, mode)
		}
		require.Empty(t, log.String(), mode)
	}
}

// scrapeOf is what /metrics answers.
func scrapeOf(t *testing.T, p *parts) string {
	t.Helper()
	answer := httptest.NewRecorder()
	p.observed.registry.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}

// TestFlowKeepsTheSchemas: what the demonstration writes is what frontends are promised.
func TestFlowKeepsTheSchemas(t *testing.T) {
	v, _ := validating(t, validateEnforce)
	f := newFlow(nil, time.Second, slog.Default())
	for range 500 {
		require.NoError(t, v.check(f.step()))
	}
	for kind := range eventKinds[:3] {
		require.Zero(t, v.counts[kind][outcomeFamily].Load())
		require.NotZero(t, v.counts[kind][outcomeValid].Load())
	}
}

func TestSchemasCommand(t *testing.T) {
	shown := gateway(t, nil, "", "schemas")
	require.Equal(t, exitOK, shown.code, shown.stderr)
	golden(t, filepath.Join("..", "..", "..", "deploy", "coreapi", bundleFile), shown.stdout)

	dir := filepath.Join(t.TempDir(), "new")
	r := gateway(t, nil, "", "schemas", dir)
	require.Equal(t, exitOK, r.code, r.stderr)
	bundle, err := os.ReadFile(filepath.Join(dir, bundleFile))
	require.NoError(t, err)
	require.Equal(t, shown.stdout, string(bundle))
	for _, file := range []string{"common.json", "events/oferta_submitted.json", "families/oferta.json", "server/connected.json", "client/ping.json"} {
		require.FileExists(t, filepath.Join(dir, file))
	}
}

func TestExplainSchema(t *testing.T) {
	r := gateway(t, nil, "", "explain", "--schema", "oferta_submitted")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, `"title": "OfertaSubmitted"`)
	require.Contains(t, gateway(t, nil, "", "explain", "--schema", "oferta_unheard_of").stdout, `"title": "OfertaEvent"`)
	none := gateway(t, nil, "", "explain", "--schema", "pedido_created")
	require.Equal(t, exitFailure, none.code)
	require.Contains(t, none.stderr, "no schema")
	broken := gateway(t, nil, "", "explain", "oferta_submitted", badOffer)
	require.Equal(t, exitOK, broken.code, broken.stderr)
	require.Contains(t, broken.stdout, "  schema  /price is string instead of number\n")
}

// BenchmarkRelay is what an event costs a node up to its entry of the log.
func BenchmarkRelay(b *testing.B) {
	for _, mode := range []string{validateOff, validateWarn, validateEnforce} {
		b.Run(mode, func(b *testing.B) {
			v, _ := validating(b, mode)
			p := &parts{identity: "n:1", router: node.NewRouter(defaultConfig().JWTRoles), validation: v, page: nil}
			ev := someEvent("oferta_submitted", goodOffer)
			b.ReportAllocs()
			for range b.N {
				if _, err := p.relay(ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
