// Command centrifuge is a gateway of the same contract on the centrifuge library: JWT on each connect, presence and session
// in Redis, a consumer group on the event stream, rooms as channels. It exists to be measured.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/golang-jwt/jwt/v5"
	"github.com/redis/go-redis/v9"
)

const (
	events = "{teloo}:events"
	window = 2 * time.Minute
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	options, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	rdb := redis.NewClient(options)
	blocking := redis.NewClient(options)
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogLevelError, LogHandler: func(e centrifuge.LogEntry) {
		log.Println(e.Message, e.Fields)
	}})
	if err != nil {
		return err
	}
	if os.Getenv("BENCH_BROKER") == "redis" {
		if err := redisBroker(node, options.Addr); err != nil {
			return err
		}
	}
	var delay time.Duration
	if d := os.Getenv("BENCH_WRITE_DELAY"); d != "" {
		if delay, err = time.ParseDuration(d); err != nil {
			return err
		}
	}
	access{secret: []byte(os.Getenv("JWT_SECRET_KEY")), rdb: rdb, delay: delay}.attach(node)
	if err := node.Run(); err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- consume(ctx, rdb, blocking, node) }()
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true },
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", os.Getenv("PORT")), Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { failed <- server.ListenAndServe() }()
	return <-failed
}

// redisBroker makes every publication go through Redis, as it has to in a cluster.
func redisBroker(node *centrifuge.Node, addr string) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: addr})
	if err != nil {
		return err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

var roles = map[string]string{"admin": "admin", "analyst": "admin", "support": "admin", "advisor": "advisor", "client": "client"}

type claims struct {
	Role string `json:"role"`
	jwt.RegisteredClaims
}

type access struct {
	secret []byte
	rdb    *redis.Client
	// delay is how long messages are collected before they are written.
	delay time.Duration
}

func (a access) attach(node *centrifuge.Node) {
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		var c claims
		_, err := jwt.ParseWithClaims(e.Token, &c, func(*jwt.Token) (any, error) { return a.secret, nil },
			jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
		role := roles[strings.ToLower(c.Role)]
		if err != nil || role == "" {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{
			WriteDelay:    a.delay,
			Credentials:   &centrifuge.Credentials{UserID: c.Subject, Info: []byte(`"` + role + `"`)},
			Subscriptions: map[string]centrifuge.SubscribeOptions{"user_" + c.Subject: {}, role: {}},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		role := strings.Trim(string(client.Info()), `"`)
		a.record(client, role, 1)
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			if !strings.HasPrefix(e.Channel, "solicitud_") {
				done(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			done(centrifuge.SubscribeReply{}, nil)
		})
		client.OnDisconnect(func(centrifuge.DisconnectEvent) { a.record(client, role, -1) })
	})
}

// record writes presence and session in one pipeline.
func (a access) record(client *centrifuge.Client, role string, by int64) {
	ctx, user := context.Background(), client.UserID()
	session := "{teloo}:centrifuge-session:" + client.ID()
	pipe := a.rdb.Pipeline()
	pipe.HIncrBy(ctx, "{teloo}:presence:role:"+role, user, by)
	pipe.HIncrBy(ctx, "{teloo}:presence:users", user, by)
	if by > 0 {
		pipe.Set(ctx, session, `{"user":"`+user+`","role":"`+role+`"}`, window)
	} else {
		pipe.Del(ctx, session)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		log.Println(err)
	}
}

// consume relays the event stream's entries to channels.
func consume(ctx context.Context, rdb, blocking *redis.Client, node *centrifuge.Node) error {
	err := rdb.XGroupCreateMkStream(ctx, events, "gateway", "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return err
	}
	for {
		streams, err := blocking.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: "gateway", Consumer: "centrifuge", Streams: []string{events, ">"}, Count: 256, Block: 2 * time.Second,
		}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return err
		}
		messages := streams[0].Messages
		repeated, err := seen(ctx, rdb, messages)
		if err != nil {
			return err
		}
		ids := make([]string, 0, len(messages))
		for i, m := range messages {
			if !repeated[i] {
				if err := relay(node, m.Values); err != nil {
					log.Println(m.ID, err)
				}
			}
			ids = append(ids, m.ID)
		}
		if err := rdb.XAck(ctx, events, "gateway", ids...).Err(); err != nil {
			return err
		}
	}
}

// seen tells, in one round trip, which entries' event_id was seen in another one.
func seen(ctx context.Context, rdb *redis.Client, messages []redis.XMessage) ([]bool, error) {
	pipe := rdb.Pipeline()
	got := make([]*redis.StatusCmd, len(messages))
	for i, m := range messages {
		if id, _ := m.Values["event_id"].(string); id != "" {
			got[i] = pipe.SetArgs(ctx, "{teloo}:seen:"+id, m.ID, redis.SetArgs{Mode: "NX", Get: true, TTL: 10 * time.Minute})
		}
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	repeated := make([]bool, len(messages))
	for i, set := range got {
		repeated[i] = set != nil && set.Val() != "" && set.Val() != messages[i].ID
	}
	return repeated, nil
}

func relay(node *centrifuge.Node, values map[string]any) error {
	name, _ := values["event"].(string)
	data, _ := values["data"].(string)
	if !json.Valid([]byte(data)) {
		return errors.New("data is no JSON")
	}
	rooms, err := route(name, []byte(data))
	if err != nil {
		return err
	}
	message := []byte(`{"event":"` + name + `","data":` + data + `}`)
	for _, room := range rooms {
		if _, err := node.Publish(room, message); err != nil {
			return err
		}
	}
	return nil
}

type ids struct {
	Solicitud string   `json:"solicitud_id"`
	Client    string   `json:"client_id"`
	Advisor   string   `json:"advisor_id"`
	User      string   `json:"user_id"`
	Role      string   `json:"role"`
	Users     []string `json:"user_ids"`
}

func route(name string, data []byte) ([]string, error) {
	var i ids
	if err := json.Unmarshal(data, &i); err != nil {
		return nil, err
	}
	kind, _, _ := strings.Cut(name, "_")
	switch kind {
	case "solicitud", "oferta", "evaluacion":
		rooms := append([]string{"solicitud_" + i.Solicitud}, users(i.Advisor, i.Client)...)
		rooms = append(rooms, "admin")
		if name == "solicitud_created" {
			rooms = append(rooms, "advisor")
		}
		return rooms, nil
	case "notificacion":
		switch {
		case i.User != "":
			return users(i.User), nil
		case i.Role != "":
			return []string{roles[strings.ToLower(i.Role)]}, nil
		default:
			return users(i.Users...), nil
		}
	}
	return nil, fmt.Errorf("no route for %q", name)
}

func users(names ...string) []string {
	var rooms []string
	for _, name := range names {
		if name != "" {
			rooms = append(rooms, "user_"+name)
		}
	}
	return rooms
}
