package main

import (
	"iter"
	"reflect"
	"strings"
)

// variable describes one variable of the environment: what `gateway config`, the README's table and .env.example say.
type variable struct {
	Name string
	// Group heads the variables from this one on.
	Group string
	// Doc is one or more sentences, in Markdown.
	Doc string
	// Example is a valid value, shown with a fault and in .env.example.
	Example string
	// Derived describes a default that depends on the machine or on other variables.
	Derived string
	Secret  bool
}

// variables are all that the program reads, in the order of Config's fields.
var variables = []variable{
	{Name: "ENVIRONMENT", Group: "Process", Example: "production", Doc: "`development`, `staging` or `production`. Production refuses wildcard origins, HS secrets under 32 bytes, and gossip without a `CLUSTER_SECRET` of 32 bytes or more."},
	{Name: "HOST", Example: "0.0.0.0", Derived: "all addresses", Doc: "Address to listen on."},
	{Name: "PORT", Example: "8003", Doc: "Port to listen on."},
	{Name: "LOG_LEVEL", Example: "info", Doc: "`debug`, `info`, `warn` or `error`. While it runs, SIGUSR1 makes the log one step more verbose, SIGUSR2 as configured."},
	{Name: "LOG_FORMAT", Example: "json", Derived: "text in development, else json", Doc: "`json` or `text`."},
	{Name: "CORS_ORIGINS", Example: "https://teloo.example,https://admin.teloo.example", Derived: "none", Doc: "Origins whose pages may connect, comma-separated, or `*`. Clients that send no `Origin` always may, as may pages of the gateway's own origin."},
	{Name: "DRAIN_WINDOW", Example: "20s", Doc: "After SIGTERM, or when asked to drain, what closing the clients' connections is spread over, so that the other nodes are not stormed; less if they are under 20 a second. 100ms to 10m."},
	{Name: "SHUTDOWN_TIMEOUT", Example: "28s", Doc: "After SIGTERM, when the process ends at the latest. Longer than `DRAIN_WINDOW`, at most 15m. An orchestrator's grace has to be longer, by what it does before the signal and a little."},
	{Name: "CANARY_INTERVAL", Example: "5s", Doc: "How often a node sends an event of its own through Redis, to no client: one past which events flow unheard is not ready within three intervals. 100ms to 1h, or 0 for none."},

	{Name: "REDIS_MODE", Group: "Redis", Example: "single", Doc: "`single`, `sentinel` or `cluster`."},
	{Name: "REDIS_URL", Example: "rediss://gateway@redis.example:6380/0", Secret: true, Derived: "none", Doc: "`redis://` or, with TLS, `rediss://`; in mode `single`, instead of host, port and the rest. `REDIS_USERNAME` and `REDIS_PASSWORD` override what it says."},
	{Name: "REDIS_HOST", Example: "redis.example", Doc: "Host, in mode `single`."},
	{Name: "REDIS_PORT", Example: "6379", Doc: "Port, in mode `single`."},
	{Name: "REDIS_ADDRS", Example: "redis-0:6379,redis-1:6379,redis-2:6379", Derived: "none", Doc: "Sentinels or cluster nodes as `host:port`, comma-separated, in the other modes."},
	{Name: "REDIS_MASTER_NAME", Example: "mymaster", Derived: "none", Doc: "The master's name, in mode `sentinel`."},
	{Name: "REDIS_USERNAME", Example: "gateway", Derived: "none", Doc: "ACL user."},
	{Name: "REDIS_PASSWORD", Example: "a-long-random-password", Secret: true, Derived: "none", Doc: "Password."},
	{Name: "REDIS_SENTINEL_USERNAME", Example: "sentinel", Derived: "none", Doc: "ACL user at the sentinels."},
	{Name: "REDIS_SENTINEL_PASSWORD", Example: "a-long-random-password", Secret: true, Derived: "none", Doc: "Password at the sentinels."},
	{Name: "REDIS_DB", Example: "0", Doc: "Database number; 0 on a cluster."},
	{Name: "REDIS_TLS", Example: "true", Doc: "Use TLS, where no URL says so."},
	{Name: "REDIS_TLS_SERVER_NAME", Example: "redis.example", Derived: "the host's", Doc: "Name that the server's certificate has to have; for sentinels and clusters that give addresses."},
	{Name: "REDIS_CA_PATH", Example: "/etc/gateway/redis-ca.pem", Derived: "the system's", Doc: "PEM file of the authorities that the server's certificate may come from."},
	{Name: "REDIS_CERT_PATH", Example: "/etc/gateway/redis-client.pem", Derived: "none", Doc: "PEM file of this node's own certificate, if Redis asks for one. Read anew for each connection, as is the key."},
	{Name: "REDIS_KEY_PATH", Example: "/etc/gateway/redis-client.key", Derived: "none", Doc: "PEM file of its key."},
	{Name: "REDIS_PREFIX", Example: "{teloo}", Doc: "Prefix of every key and channel. One hash tag, so that scripts work on a cluster."},
	{Name: "REDIS_WAIT_REPLICAS", Example: "1", Doc: "Replicas of Redis that must have an event before a client is sent it, and before an operator's command is answered as done; so that a failover to one of them takes nothing back. 0 to 16; 0: Redis' master alone."},
	{Name: "REDIS_WAIT_TIMEOUT", Example: "1s", Doc: "How long delivery waits for these replicas, then goes on without, with a warning, until there are enough again. 0s: for as long as it takes. Else 10ms to 10m."},

	{Name: "JWT_ALGORITHM", Group: "Access", Example: "HS256", Doc: "Accepted algorithms, comma-separated: HS, RS, PS or ES with 256, 384 or 512, or EdDSA. A token of another one is refused."},
	{Name: "JWT_SECRET_KEY", Example: "at-least-32-random-bytes-from-a-secret-store", Secret: true, Derived: "none", Doc: "Secrets of the HS algorithms, comma-separated: a token may be signed with any."},
	{Name: "JWT_PUBLIC_KEY_PATH", Example: "/etc/gateway/jwt.pem", Derived: "none", Doc: "PEM file with the public key of the other algorithms."},
	{Name: "JWT_JWKS_URL", Example: "https://id.teloo.example/.well-known/jwks.json", Derived: "none", Doc: "Key set, instead of the PEM file."},
	{Name: "JWT_ISSUER", Example: "https://id.teloo.example", Derived: "not checked", Doc: "What `iss` has to be."},
	{Name: "JWT_AUDIENCE", Example: "gateway", Derived: "not checked", Doc: "What `aud` has to contain."},
	{Name: "JWT_ROLES", Example: "admin=admin,analyst=admin,advisor=advisor,client=client", Doc: "Role in the token (any case) = role here: `admin`, `advisor` or `client`."},
	{Name: "SUBSCRIBE_POLICY", Example: "admin=any,advisor=any,client=granted", Doc: "Which solicitudes' rooms a role may enter: `any`, `granted` or `none`."},

	{Name: "NODE_NAME", Group: "Cluster", Example: "gateway-0", Derived: "host name", Doc: "This node's name; no other node may have it."},
	{Name: "ADVERTISE_ADDR", Example: "10.0.0.7:8003", Derived: "host of `CLUSTER_ADVERTISE` or first address of the machine, `PORT`", Doc: "Where others reach this node's HTTP port, as `host:port`: this node itself, not a balancer, since requests of its sessions are passed on to it, over plain HTTP."},
	{Name: "CLUSTER_BIND", Example: "0.0.0.0:7946", Derived: "`0.0.0.0:7946` with seeds, else no gossip", Doc: "Address and port for gossip, TCP and UDP."},
	{Name: "CLUSTER_ADVERTISE", Example: "10.0.0.7:7946", Derived: "as bound", Doc: "Where others reach it, as `host` or `host:port`, if that differs."},
	{Name: "CLUSTER_SEEDS", Example: "gateway-headless:7946", Derived: "none", Doc: "Nodes to join, as `host` or `host:port`, comma-separated. Names are resolved again and again."},
	{Name: "CLUSTER_SECRET", Example: "at-least-32-random-bytes-from-a-secret-store", Secret: true, Derived: "none", Doc: "Encrypts gossip, and authenticates sessions' ids and what nodes pass on; the same on all nodes."},
	{Name: "FORWARD_POLLS", Example: "true", Doc: "With gossip and a `CLUSTER_SECRET`, a session's request that reaches another node is passed on to the session's own, at its `ADVERTISE_ADDR`; `false`: it is refused, and the load balancer has to be sticky."},

	{Name: "WS_MAX_CONNECTIONS", Group: "Clients", Example: "10000", Doc: "Connections this node takes, 1 to 1,000,000. More are refused as `server_full`."},
	{Name: "CONNECT_RATE", Example: "2000", Doc: "Connects a second that the cluster takes, shared by its live nodes; 0: no limit. More are refused as `rate_limited`."},
	{Name: "CONNECT_TIMEOUT", Example: "10s", Doc: "How long a connection may take to ask for a namespace. 1s to 5m."},
	{Name: "PING_INTERVAL", Example: "25s", Doc: "How often a client is pinged. 1s to 5m."},
	{Name: "PING_TIMEOUT", Example: "20s", Doc: "How long it may take to answer. 1s to 5m."},
	{Name: "MAX_PAYLOAD", Example: "100000", Doc: "Bytes of the largest message from a client. 1,024 to 16,777,216."},
	{Name: "ALLOW_EIO3", Example: "false", Doc: "Serve clients of Socket.IO 2 (Engine.IO 3), too, without recovery. Their token may stand in the query, as `token`, where proxies may log it."},

	{Name: "TRUSTED_PROXIES", Group: "Limits", Example: "10.0.0.5,10.1.0.0/16", Derived: "none", Doc: "Proxies in front of the nodes, as addresses, networks, `loopback` or `private`, comma-separated. Only their `X-Forwarded-For` is believed, up to the first address that is none of them; name no network that clients are in, too. Without it all who come through a proxy share its `HANDSHAKE_RATE`."},
	{Name: "HANDSHAKE_RATE", Example: "50", Doc: "Handshakes a second that an address (IPv6: a /64) may begin at a node; 0: no limit. More are answered with 429 and `Retry-After`."},
	{Name: "HANDSHAKE_BURST", Example: "500", Doc: "How many it may begin at once after a pause. 1 to 1,000,000."},
	{Name: "MAX_SOCKETS_PER_USER", Example: "100", Doc: "Connections of one user at a node; 0: no limit. More are refused as `rate_limited`."},
	{Name: "MAX_ROOMS_PER_SOCKET", Example: "256", Doc: "Solicitudes that a connection may be subscribed to, 1 to 10,000. More are refused as `too_many_rooms`."},
	{Name: "EVENT_RATE", Example: "50", Doc: "Events a second that a connection may send; 0: no limit. More are not handled, but answered as `rate_limited`; who keeps sending over ten times as many is disconnected as `event_flood`."},
	{Name: "EVENT_BURST", Example: "300", Doc: "How many it may send at once after a pause; no less than the solicitudes that a page shows, since it subscribes to all when it comes back. 1 to 1,000,000."},

	{Name: "RECOVERY_WINDOW", Group: "Events", Example: "2m", Doc: "How long after the loss of its connection or node a client gets what it missed. The log is kept twice as long. 1s to 1h."},
	{Name: "RECOVERY_MAX_EVENTS", Example: "10000", Doc: "Events that a returning client may have missed; with more it starts afresh. 1 to 50,000."},
	{Name: "RING_MAX_ENTRIES", Example: "100000", Doc: "Entries of the log that a node holds in memory for returning clients; older ones are read from Redis. 100 to 10,000,000."},
	{Name: "RING_MAX_BYTES", Example: "67108864", Doc: "Bytes of the same. 1,048,576 to 17,179,869,184."},
	{Name: "LOG_MAX_ENTRIES", Example: "500000", Doc: "Entries of the log at most, whatever the window. 1,000 or more."},
	{Name: "DEAD_MAX_ENTRIES", Example: "100000", Doc: "Dead letters kept at most; the oldest go. 1,000 or more."},
	{Name: "GRANT_TTL", Example: "720h", Doc: "How long a grant to a solicitud's room lasts after it was last given. 1m or more."},
	{Name: "DEDUPE_TTL", Example: "10m", Doc: "How long an `event_id` is remembered. 1s to 168h."},
	{Name: "VALIDATE_EVENTS", Example: "warn", Doc: "Whether events are held to their JSON Schemas (`gateway schemas`): `off`, `warn` (what does not keep its schema is relayed, counted and told of in the log, at most every 10 s) or `enforce` (it is a dead letter, `invalid_schema`)."},

	{Name: "EMITTER_CHANNEL", Group: "Ingress", Example: "socket.io", Derived: "none", Doc: "`key` of the classic Redis emitters of Socket.IO whose events, published by pub/sub, are to reach the clients. Whoever can publish in that Redis can then send any event to any room. Unset: nobody listens."},
	{Name: "PYTHON_CHANNEL", Example: "socketio", Derived: "none", Doc: "Channel of python-socketio's managers (of the pickles of versions before 5.14 plain data is read), whose events are to. With the same consequence."},
	{Name: "LEGACY_CHANNELS", Example: "solicitudes,ofertas", Derived: "none", Doc: "Channels of pub/sub, comma-separated, each of whose messages is an event `{\"event\", \"data\"}` as in the event stream: checked, routed, and a dead letter if it cannot be."},

	{Name: "TRACE_ENTRIES", Group: "Tracing", Example: "20000", Doc: "Deliveries, and replays, that a node remembers for `gateway trace`, at about 200 bytes each; 0: none. Up to 10,000,000."},
	{Name: "OTLP_ENDPOINT", Example: "http://otel-collector:4318", Derived: "no spans", Doc: "OpenTelemetry collector that events' spans are sent to, by OTLP over HTTP."},
	{Name: "OTEL_EXPORTER_OTLP_HEADERS", Example: "api-key=a-key,x-tenant=teloo", Secret: true, Derived: "none", Doc: "Headers that go along with the spans, as `name=value,name=value`, values percent-encoded."},
	{Name: "OTLP_RATIO", Example: "0.01", Doc: "Share of the events without `traceparent` that are traced, 0 to 1; for the others the sender has decided."},

	{Name: "ADMIN_API_KEY", Group: "Operators", Example: "at-least-32-random-bytes-from-a-secret-store", Secret: true, Derived: "none", Doc: "Key of the admin API below `/admin/`, 32 to 1,024 visible ASCII characters; without one there is none."},
	{Name: "METRICS_PORT", Example: "9003", Doc: "A port of its own for the admin API, `/metrics`, `/health` and `/stats`, which clients need not reach; 0: the admin API and, for who has its key, `/metrics` are at `PORT`."},
	{Name: "METRICS", Example: "true", Doc: "`false`: nothing is observed and there is no `/metrics`."},
}

// fault makes a fault of the variable.
func (v variable) fault(problem string) Fault {
	return Fault{Name: v.Name, Problem: problem, Example: v.Example}
}

// field is the name of the variable's field in Config, and its default as text.
func (v variable) field() (name, def string) {
	for f := range configFields() {
		if f.Tag.Get("env") == v.Name {
			return f.Name, f.Tag.Get("envDefault")
		}
	}
	return "", ""
}

// defaultText describes the default for people.
func (v variable) defaultText() string {
	if v.Derived != "" {
		return v.Derived
	}
	_, def := v.field()
	return def
}

func configFields() iter.Seq[reflect.StructField] { return reflect.TypeFor[Config]().Fields() }

func variableOfField(field string) variable {
	for f := range configFields() {
		if f.Name == field {
			v, _ := lookup(f.Tag.Get("env"))
			return v
		}
	}
	return variable{Name: field}
}

func lookup(name string) (variable, bool) {
	for _, v := range variables {
		if v.Name == name {
			return v, true
		}
	}
	return variable{}, false
}

// ownPrefixes begin names that no other program is likely to read.
var ownPrefixes = []string{"JWT_", "CORS_", "CLUSTER_", "SUBSCRIBE_"}

// renamed are variables of former versions, with those that took their place.
var renamed = map[string]string{"DRAIN_TIMEOUT": "DRAIN_WINDOW"}

// strangers warns of variables that look like misspelt ones of ours.
func strangers(vars map[string]string) []string {
	var warnings []string
	for _, name := range sortedKeys(vars) {
		if _, known := lookup(name); known {
			continue
		}
		if now := renamed[name]; now != "" {
			warnings = append(warnings, name+" has no effect: it is "+now+" now, over which sending the clients away is spread")
			continue
		}
		if near := nearest(name); near != "" {
			warnings = append(warnings, name+" is not a variable of this program; is "+near+" meant?")
			continue
		}
		for _, p := range ownPrefixes {
			if strings.HasPrefix(name, p) {
				warnings = append(warnings, name+" is not a variable of this program; it has no effect")
			}
		}
	}
	return warnings
}

// nearest is the variable that name is a misspelling or the beginning of, or "".
func nearest(name string) string {
	const slip = 2 // edits that still count as a slip, in names long enough to tell
	best, bestDistance := "", slip+1
	for _, v := range variables {
		if len(name) >= len("REDIS_PA") && strings.HasPrefix(v.Name, name) {
			return v.Name
		}
		if len(v.Name) < len("LOG_LEVEL") {
			continue
		}
		if d := distance(name, v.Name); d < bestDistance {
			best, bestDistance = v.Name, d
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
