package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/streams"
)

// Bounds of a bench.
const (
	benchBackoff = 500 * time.Millisecond
	benchConnect = 2 * time.Minute // for all clients
	benchQuiet   = 10 * time.Second
	benchTick    = 50 * time.Millisecond
	benchMargin  = 100 // files besides the clients'
)

type benchCmd struct {
	URL       string        `arg:""                                                                                help:"The cluster, as ws://host:port, wss://host:port or with http(s)."`
	Clients   int           `default:"1000"                                                                        help:"Socket.IO clients, each with a token and user of its own."`
	Rate      float64       `default:"100"                                                                         help:"Events a second."`
	Duration  time.Duration `default:"30s"                                                                         help:"How long events are written."`
	Fanout    int           `default:"50"                                                                          help:"Clients that get each event; 1: one user, else a room."`
	Size      int           `default:"200"                                                                         help:"Bytes of an event's data."`
	Role      string        `default:"client"                                                                      help:"Role of the clients, as JWT_ROLES names it."`
	Opening   int           `default:"64"                                                                          help:"Connects under way at once."`
	Key       string        `help:"PEM file with the private key for the tokens; without it JWT_SECRET_KEY signs." placeholder:"FILE"                                                      type:"path"`
	Algorithm string        `help:"Algorithm; the first of JWT_ALGORITHM that the key can sign for, if not set."   placeholder:"NAME"`
}

// Help is shown below the flags.
func (*benchCmd) Help() string {
	return "The events go to users and rooms that only this run's clients are in, by way of the event stream of the configured " +
		"Redis. While it runs, the clients count in /stats. Latency is from the writing to Redis to the client.\n\n" +
		"All its clients have one address, so the nodes refuse most connects with 429 unless they run with HANDSHAKE_RATE=0; " +
		"likewise CONNECT_RATE and WS_MAX_CONNECTIONS have to let the clients in."
}

func (b *benchCmd) validate() error {
	var errs []error
	check := func(ok bool, flag string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("--%s: %v is not %s", flag, value, want))
		}
	}
	check(b.Clients >= 1 && b.Clients <= 1_000_000, "clients", b.Clients, "1 to 1,000,000")
	check(b.Rate > 0 && b.Rate <= 1_000_000, "rate", b.Rate, "more than 0 and at most 1,000,000")
	check(b.Duration >= 100*time.Millisecond, "duration", b.Duration, "100ms or more")
	check(b.Fanout >= 1 && b.Fanout <= b.Clients, "fanout", b.Fanout, "1 to --clients")
	check(b.Size >= 1 && b.Size <= 64<<10, "size", b.Size, "1 to 65,536")
	check(b.Opening >= 1 && b.Opening <= 10_000, "opening", b.Opening, "1 to 10,000")
	return errors.Join(errs...)
}

// Run connects the clients, writes the events and reports. It fails if anything was lost, repeated or refused.
func (b *benchCmd) Run(ctx context.Context, a *app) error {
	if err := b.validate(); err != nil {
		return err
	}
	needs := []string{"REDIS_", "JWT_ALGORITHM", "JWT_ROLES", "JWT_SECRET_KEY"}
	if b.Key != "" {
		needs = needs[:3]
	}
	c, err := a.config(needs...)
	if err != nil {
		return err
	}
	if _, known := c.JWTRoles[strings.ToLower(b.Role)]; !known {
		return fmt.Errorf("--role: %s is none of %s", quote(b.Role), strings.Join(sortedKeys(c.JWTRoles), ", "))
	}
	if err := load.RaiseFiles(uint64(b.Clients + benchMargin)); err != nil {
		return err
	}
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	r := &benchRun{benchCmd: b, id: "bench-" + strings.ToLower(rand.Text()[:8]), out: a.stdout}
	r.bar = func(label string, size int64) *progress { return newCount(a.stderr, label, size, isTerminal(a.stderr)) }
	if r.tokens, err = r.mint(c); err != nil {
		return err
	}
	return r.all(ctx, &benchPublisher{streams.NewPublisher(client, c.RedisPrefix)})
}

// benchPublisher writes to whichever Redis is configured.
type benchPublisher struct{ to *streams.Publisher }

var _ load.Publisher = (*benchPublisher)(nil)

// Publish implements load.Publisher.
func (p *benchPublisher) Publish(ctx context.Context, events []load.Event) error {
	batch := make([]streams.Event, len(events))
	for i, e := range events {
		batch[i] = streams.Event{Name: e.Name, Data: e.Data, Rooms: e.Rooms, EventID: e.ID}
	}
	_, err := p.to.Publish(ctx, batch...)
	return err
}

// benchRun is one run. It is used by one goroutine.
type benchRun struct {
	*benchCmd
	id     string // of users and rooms, so that nobody else is in them
	tokens []string
	out    io.Writer
	bar    func(label string, size int64) *progress
	fleet  *load.Fleet
	// seq counts the events by room, or by user.
	seq []uint32
}

func (r *benchRun) user(i int) string { return r.id + "-" + strconv.Itoa(i) }

func (r *benchRun) solicitud(i int) string { return r.id + "-r" + strconv.Itoa(i/r.Fanout) }

// mint signs all tokens beforehand, since that may take longer than the connects.
func (r *benchRun) mint(c Config) ([]string, error) {
	signer := tokenCmd{Key: r.Key, Algorithm: r.Algorithm}
	tokens := make([]string, r.Clients)
	for i := range tokens {
		m := auth.MintRequest{
			User: r.user(i), Role: r.Role, TTL: r.Duration + time.Hour, Issuer: c.JWTIssuer, Audience: c.JWTAudience,
		}
		if r.Fanout > 1 {
			m.Solicitudes = []string{r.solicitud(i)}
		}
		var err error
		if tokens[i], err = signer.sign(c, &m); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// event is the n-th event: to each room or user in turn.
func (r *benchRun) event(n uint64, at time.Time) load.Event {
	i := int(n % uint64(len(r.seq)))
	r.seq[i]++
	stamp := load.Stamp{At: at.UnixMicro(), Kind: load.ToUser, Seq: r.seq[i]}
	room := "user_" + r.user(i)
	if r.Fanout > 1 {
		stamp.Kind, room = load.ToRoom, "solicitud_"+r.solicitud(i*r.Fanout)
	}
	return load.Event{Name: "notificacion_bench", Data: load.AppendData(nil, stamp, "", "", r.Size), Rooms: []string{room}}
}

func (r *benchRun) all(ctx context.Context, pub load.Publisher) error {
	cfg := load.Config{
		URL: benchURL(r.URL), Clients: r.Clients, Token: func(i int) string { return r.tokens[i] },
		Opening: r.Opening, Backoff: benchBackoff, Loops: min(runtime.GOMAXPROCS(0), r.Clients),
	}
	if r.Fanout > 1 {
		cfg.Room = r.solicitud
	}
	var err error
	if r.fleet, err = load.New(cfg); err != nil {
		return err
	}
	// Rooms of which only a part would be filled get no events.
	r.seq = make([]uint32, r.Clients/r.Fanout)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- r.fleet.Run(serving) }()
	err = r.connect(ctx)
	if err == nil {
		err = r.write(ctx, pub)
	}
	stop()
	return errors.Join(err, <-ended)
}

func (r *benchRun) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, benchConnect, errors.New("not all clients could connect"))
	defer cancel()
	bar := r.bar("connecting", int64(r.Clients))
	start := time.Now()
	err := r.fleet.Wait(ctx, func(s load.Stats) bool {
		bar.set(int64(s.Ready))
		return s.Ready >= r.Clients
	})
	bar.finish()
	if err != nil {
		return err
	}
	took, times := time.Since(start), r.fleet.TakeConnectTimes()
	_, err = fmt.Fprintf(r.out, "connected %d clients in %s (%.0f/s), one in %s at the median, %s at the 99th percentile\n",
		r.Clients, took.Round(time.Millisecond), float64(r.Clients)/took.Seconds(), short(times.Quantile(0.5)), short(times.Quantile(0.99)))
	return err
}

// write writes the events, waits for the last and reports. Being stopped shortens it.
func (r *benchRun) write(ctx context.Context, pub load.Publisher) error {
	w := load.NewWriter(pub, r.event)
	bar := r.bar("events", int64(r.Rate*r.Duration.Seconds()))
	w.OnWritten = func(total uint64) { bar.set(int64(total)) }
	start := time.Now()
	err := w.AtRate(ctx, r.Rate, r.Duration)
	took := time.Since(start)
	bar.finish()
	behind := r.quiesce()
	if reportErr := r.report(w.Written(), took, behind); reportErr != nil {
		return errors.Join(err, reportErr)
	}
	if s := r.fleet.Stats(); err == nil && (behind > 0 || s.Lost > 0 || s.Repeated > 0 || len(s.Refused) > 0) {
		return errors.New("not every event arrived once")
	}
	return err
}

// quiesce waits for what is under way and returns how many deliveries did not come.
func (r *benchRun) quiesce() uint64 {
	deadline := time.Now().Add(benchQuiet)
	tick := time.NewTicker(benchTick)
	defer tick.Stop()
	for {
		behind := r.fleet.Behind(func(i int, k load.Kind) uint32 {
			group := i / r.Fanout
			if (k != load.ToUser || r.Fanout > 1) && (k != load.ToRoom || r.Fanout == 1) || group >= len(r.seq) {
				return 0
			}
			return r.seq[group]
		})
		// Clients that are away are not behind, but will be.
		if behind == 0 && r.fleet.Stats().Ready == r.Clients || time.Now().After(deadline) {
			return behind
		}
		<-tick.C
	}
}

func (r *benchRun) report(written uint64, took time.Duration, behind uint64) error {
	s, h := r.fleet.Stats(), r.fleet.TakeLatency()
	seconds := max(took.Seconds(), 1e-9)
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "wrote %d events in %s (%.0f/s), each for %d clients\n", written, took.Round(time.Millisecond), float64(written)/seconds, r.Fanout)
	_, _ = fmt.Fprintf(&b, "delivered %d (%.0f/s), lost %d, repeated %d, not arrived %s later %d\n",
		s.Events, float64(s.Events)/seconds, s.Lost, s.Repeated, benchQuiet, behind)
	if s.Closed > 0 || s.Failed > 0 || len(s.Refused) > 0 {
		_, _ = fmt.Fprintf(&b, "connections closed %d, connects failed %d, refused %s, sessions recovered %d; last: %s\n",
			s.Closed, s.Failed, refusals(s.Refused), s.Recovered, s.LastError)
	}
	if h.Count() > 0 {
		_, _ = fmt.Fprintf(&b, "latency: p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n",
			short(h.Quantile(0.5)), short(h.Quantile(0.9)), short(h.Quantile(0.99)), short(h.Quantile(0.999)), short(h.Max()))
		b.WriteString(histogramText(h))
	}
	_, err := io.WriteString(r.out, b.String())
	return err
}

func refusals(counts map[string]uint64) string {
	if len(counts) == 0 {
		return "0"
	}
	var parts []string
	for _, code := range sortedKeys(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[code], code))
	}
	return strings.Join(parts, ", ")
}

// histogramText draws one line for each power of two of time.
func histogramText(h *load.Histogram) string {
	const width = 50
	counts := map[time.Duration]uint64{}
	h.Each(func(upTo time.Duration, n uint64) {
		edge := 64 * time.Microsecond
		for edge < upTo {
			edge *= 2
		}
		counts[edge] += n
	})
	edges := slices.Sorted(maps.Keys(counts))
	var most uint64
	for _, n := range counts {
		most = max(most, n)
	}
	var b strings.Builder
	for edge := edges[0]; edge <= edges[len(edges)-1]; edge *= 2 {
		n := counts[edge]
		bar := strings.Repeat("█", int((n*width+most-1)/most))
		_, _ = fmt.Fprintf(&b, "%10s  %-*s  %d\n", "≤ "+short(edge), width, bar, n)
	}
	return b.String()
}

// short shows a duration with three digits or so.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// benchURL takes http for ws.
func benchURL(url string) string {
	if rest, ok := strings.CutPrefix(url, "http"); ok {
		return "ws" + rest
	}
	return url
}
