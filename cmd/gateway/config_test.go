package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/adapter"
	"github.com/teloo/realtime-gateway/node"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/gossip"
	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

const goodSecret = "0123456789abcdef0123456789abcdef"

// good is an environment without faults.
func good(more ...string) []string { return append([]string{"JWT_SECRET_KEY=" + goodSecret}, more...) }

func read(t *testing.T, environ ...string) reading {
	t.Helper()
	return readConfig(environ, "")
}

func TestVariablesDescribeConfig(t *testing.T) {
	var names []string
	for f := range configFields() {
		names = append(names, f.Tag.Get("env"))
	}
	var described []string
	groups := 0
	for _, v := range variables {
		described = append(described, v.Name)
		require.NotEmpty(t, v.Doc, v.Name)
		require.NotEmpty(t, v.Example, v.Name)
		require.NotContains(t, v.Doc, "|", v.Name)
		if v.Group != "" {
			groups++
		}
		field, def := v.field()
		f, _ := reflect.TypeFor[Config]().FieldByName(field)
		require.Equal(t, f.Type == reflect.TypeFor[secret](), v.Secret, "%s: secrets have the type secret", v.Name)
		require.NotEqual(t, def == "", v.Derived == "", "%s has either a default or a description of it", v.Name)
	}
	require.Equal(t, names, described)
	require.Greater(t, groups, 1)
}

// TestExamplesAreValid sets each variable to its example, in an environment where that makes sense.
func TestExamplesAreValid(t *testing.T) {
	key, pair := writeKey(t, ecKey(t)), writeCertificate(t)
	files := map[string]string{
		"JWT_PUBLIC_KEY_PATH": key.public, "REDIS_CA_PATH": pair.cert, "REDIS_CERT_PATH": pair.cert, "REDIS_KEY_PATH": pair.key,
	}
	with := map[string][]string{
		"ENVIRONMENT":           {"JWT_SECRET_KEY=" + goodSecret},
		"REDIS_ADDRS":           {"REDIS_MODE=cluster"},
		"REDIS_MASTER_NAME":     {"REDIS_MODE=sentinel", "REDIS_ADDRS=a:1"},
		"REDIS_TLS_SERVER_NAME": {"REDIS_TLS=true"},
		"REDIS_CA_PATH":         {"REDIS_TLS=true"},
		"REDIS_CERT_PATH":       {"REDIS_TLS=true", "REDIS_KEY_PATH=" + pair.key},
		"REDIS_KEY_PATH":        {"REDIS_TLS=true", "REDIS_CERT_PATH=" + pair.cert},
		"JWT_PUBLIC_KEY_PATH":   {"JWT_ALGORITHM=ES256"},
		"JWT_JWKS_URL":          {"JWT_ALGORITHM=ES256"},
		"CLUSTER_ADVERTISE":     {"CLUSTER_BIND=0.0.0.0:7946"},
	}
	for _, v := range variables {
		t.Run(v.Name, func(t *testing.T) {
			value := v.Example
			if file, is := files[v.Name]; is {
				value = file
			}
			r := read(t, good(append(with[v.Name], v.Name+"="+value)...)...)
			require.Empty(t, r.Faults)
			require.Equal(t, fromEnv, r.Sources[v.Name])
		})
	}
}

func TestDefaults(t *testing.T) {
	r := read(t, good("NODE_NAME=n", "ADVERTISE_ADDR=h:1")...)
	require.Empty(t, r.Faults)
	require.Empty(t, r.Warnings)
	want := Config{
		Environment: "development", Port: 8003, LogLevel: slog.LevelInfo, LogFormat: "text",
		DrainWindow: 20 * time.Second, ShutdownTimeout: 28 * time.Second, CanaryInterval: 5 * time.Second, Metrics: true,
		RedisMode: "single", RedisHost: "localhost", RedisPort: 6379, RedisPrefix: "{teloo}", RedisWaitTimeout: time.Second,
		JWTAlgorithm: list{"HS256"}, JWTSecretKey: goodSecret,
		JWTRoles:        pairs{"admin": "admin", "analyst": "admin", "support": "admin", "advisor": "advisor", "client": "client"},
		SubscribePolicy: pairs{"admin": "any", "advisor": "any", "client": "granted"},
		NodeName:        "n", AdvertiseAddr: "h:1",
		WSMaxConnections: 10_000, ConnectTimeout: 10 * time.Second, PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second,
		MaxPayload: 100_000, HandshakeRate: 50, HandshakeBurst: 500, MaxSocketsPerUser: 100, MaxRoomsPerSocket: 256, EventRate: 50,
		EventBurst: 300, RecoveryWindow: 2 * time.Minute, RecoveryMaxEvents: 10_000, RingMaxEntries: 100_000, RingMaxBytes: 64 << 20,
		LogMaxEntries: 500_000, DeadMaxEntries: 100_000, GrantTTL: 720 * time.Hour, DedupeTTL: 10 * time.Minute, ValidateEvents: validateOff,
		TraceEntries: 20_000, OTLPRatio: 0.01, ForwardPolls: true,
	}
	require.Equal(t, want, r.Config)
}

// TestDefaultsAreThePackages: who runs a package without this program gets the same.
func TestDefaultsAreThePackages(t *testing.T) {
	c := defaultConfig()
	s := streams.DefaultConfig()
	s.Consumer = "id"
	require.Equal(t, s, c.streamsConfig("id"))
	ad := adapter.DefaultConfig()
	ad.UID = "id"
	require.Equal(t, ad, c.adapterConfig("id"))
	require.Equal(t, gossip.DefaultBudgetConfig(), c.budgetConfig())
	require.Equal(t, limits.DefaultConfig(), c.limitsConfig())
	p := presence.DefaultConfig()
	p.Node, p.Name, p.Addr, p.Version = "id", c.NodeName, c.AdvertiseAddr, buildVersion()
	require.Equal(t, p, c.presenceConfig("id"))
	n := node.DefaultConfig()
	n.Name = c.NodeName
	require.Equal(t, n, c.nodeConfig())
	require.Equal(t, auth.DefaultConfig().Roles, map[string]string(c.JWTRoles))
	require.Equal(t, auth.DefaultPolicy(), c.subscribePolicy())
	a := auth.DefaultConfig()
	a.Secret = []byte{}
	require.Equal(t, a, c.authConfig())
}

func TestPackagesAcceptTheirConfig(t *testing.T) {
	for _, environ := range []string{
		"PORT=1", "CLUSTER_SEEDS=a,b:1,::1", "RECOVERY_WINDOW=1s", "RECOVERY_WINDOW=1h", "CLUSTER_BIND=:7946",
		"CLUSTER_BIND=[::1]:7946 CLUSTER_ADVERTISE=host", "REDIS_MODE=cluster REDIS_ADDRS=a:1", "CONNECT_RATE=10",
		"TRUSTED_PROXIES=loopback,private,192.0.2.7 HANDSHAKE_RATE=0 MAX_SOCKETS_PER_USER=0 EVENT_RATE=0", "MAX_ROOMS_PER_SOCKET=1",
		"EMITTER_CHANNEL=socket.io PYTHON_CHANNEL=socketio LEGACY_CHANNELS=a,b",
	} {
		t.Run(environ, func(t *testing.T) { requireAccepted(t, strings.Split(environ, " ")...) })
	}
}

func requireAccepted(t *testing.T, environ ...string) {
	t.Helper()
	r := read(t, good(environ...)...)
	require.Empty(t, r.Faults)
	id := r.Config.identity(time.UnixMilli(1700000000123))
	require.True(t, strings.HasSuffix(id, ":1700000000123"), id)
	require.NoError(t, r.Config.streamsConfig(id).Validate())
	require.NoError(t, r.Config.adapterConfig(id).Validate())
	require.NoError(t, r.Config.presenceConfig(id).Validate())
	require.NoError(t, r.Config.budgetConfig().Validate())
	require.NoError(t, r.Config.ingressConfig(id).Validate())
	if r.Config.gossips() {
		require.NoError(t, r.Config.gossipConfig(id).Validate())
	}
	require.NoError(t, r.Config.authConfig().Validate())
	require.NoError(t, r.Config.nodeConfig().Validate())
	require.NoError(t, r.Config.limitsConfig().Validate())
	require.NoError(t, r.Config.apiConfig().Validate())
}

func TestDerivedDefaults(t *testing.T) {
	r := read(t, good("HOST=10.1.2.3", "PORT=81", "CLUSTER_SEEDS=gateway-headless")...)
	require.Empty(t, r.Faults)
	require.Equal(t, "10.1.2.3:81", r.Config.AdvertiseAddr)
	require.Equal(t, "0.0.0.0:7946", r.Config.ClusterBind)
	require.True(t, r.Config.gossips())
	require.NotEmpty(t, r.Config.NodeName)
	require.Equal(t, "0.0.0.0:7946", r.Raw["CLUSTER_BIND"])

	r = read(t, good("HOST=::")...)
	require.Regexp(t, `^[0-9.]+:8003$`, r.Config.AdvertiseAddr)
	require.False(t, r.Config.gossips())
}

func TestFaults(t *testing.T) {
	rsa, ec := writeKey(t, rsaKey(t)), writeKey(t, ecKey(t))
	long := strings.Repeat("x", 64)
	for _, tc := range []struct {
		environ string // separated by spaces
		want    string // "NAME: part of the problem", separated by |
	}{
		{"ENVIRONMENT=prod", "ENVIRONMENT: \"prod\" is none of development, staging, production"},
		{"HOST=a/b", "HOST: \"a/b\" is neither"},
		{"PORT=abc", "PORT: \"abc\" is not a whole number"},
		{"PORT=0", "PORT: 0 is not between 1 and 65535"},
		{"PORT=65536", "PORT: 65536 is not"},
		{"PORT=99999999999999999999", "PORT: \"99999999999999999999\" is out of range"},
		{"PORT=8003.5", "PORT: \"8003.5\" is not a whole number"},
		{"LOG_LEVEL=loud", "LOG_LEVEL: \"loud\" is none of debug, info, warn, error"},
		{"LOG_FORMAT=xml", "LOG_FORMAT: \"xml\" is none of json, text"},
		{"CORS_ORIGINS=teloo.example", "CORS_ORIGINS: \"teloo.example\" is not scheme://host"},
		{"CORS_ORIGINS=https://a.example/", "CORS_ORIGINS: \"https://a.example/\" is not"},
		{"CORS_ORIGINS=https://*.example", "CORS_ORIGINS: \"https://*.example\" has a wildcard"},
		{"CORS_ORIGINS=*,https://a.example", "CORS_ORIGINS: * stands beside other origins"},
		{"CORS_ORIGINS=ftp://a,b", "CORS_ORIGINS: \"ftp://a\" is|CORS_ORIGINS: \"b\" is"},
		{"DRAIN_WINDOW=10", "DRAIN_WINDOW: \"10\" is not a duration with a unit"},
		{"DRAIN_WINDOW=0s", "DRAIN_WINDOW: 0s is not between 100ms and 10m0s"},
		{"DRAIN_WINDOW=30s", "SHUTDOWN_TIMEOUT: 28s is not longer than DRAIN_WINDOW (30s)"},
		{"CANARY_INTERVAL=1ms", "CANARY_INTERVAL: 1ms is not between 100ms and 1h0m0s"},
		{"EMITTER_CHANNEL={teloo}", "EMITTER_CHANNEL: Emitter \"{teloo}\" begins as the gateway's own channels"},
		{"PYTHON_CHANNEL={teloo}#/#", "PYTHON_CHANNEL: channel \"{teloo}#/#\" begins as the gateway's own"},
		{"LEGACY_CHANNELS=a,b,a", "LEGACY_CHANNELS: channel \"a\" is there twice"},
		{"EMITTER_CHANNEL=x PYTHON_CHANNEL=x#/#", "PYTHON_CHANNEL: channel \"x#/#\" is an emitter's, too"},
		{"PYTHON_CHANNEL=socketio LEGACY_CHANNELS=a,socketio", "LEGACY_CHANNELS: channel \"socketio\" is there twice"},

		{"SHUTDOWN_TIMEOUT=1h", "SHUTDOWN_TIMEOUT: 1h0m0s is not between"},

		{"REDIS_MODE=ring", "REDIS_MODE: \"ring\" is none of single, sentinel, cluster"},
		{"REDIS_HOST=tcp://x", "REDIS_HOST: \"tcp://x\" is neither"},
		{"REDIS_HOST=redis://u:hush@x", "REDIS_HOST: \"xxxxx@x\" is neither"},
		{"REDIS_MODE=cluster REDIS_ADDRS=u:hush@a", "REDIS_ADDRS: \"xxxxx@a\" has no port"},
		{"REDIS_CA_PATH=/no/such REDIS_KEY_PATH=k", "REDIS_CA_PATH: is set, but TLS is not asked for|REDIS_KEY_PATH: is set, but TLS"},
		{"REDIS_TLS=true REDIS_CA_PATH=/no/such", "REDIS_CA_PATH: open /no/such: no such file"},
		{"REDIS_URL=rediss://h REDIS_CA_PATH=/dev/null", "REDIS_CA_PATH: holds no certificate in PEM"},
		{"REDIS_TLS=true REDIS_CERT_PATH=/no/such", "REDIS_KEY_PATH: is not set, but REDIS_CERT_PATH is"},
		{"REDIS_TLS=true REDIS_KEY_PATH=/no/such", "REDIS_CERT_PATH: is not set, but REDIS_KEY_PATH is"},
		{"REDIS_TLS=true REDIS_CERT_PATH=/no/such REDIS_KEY_PATH=/no/such", "REDIS_CERT_PATH: with REDIS_KEY_PATH: open /no/such"},
		{"REDIS_TLS=true REDIS_TLS_SERVER_NAME=a/b", "REDIS_TLS_SERVER_NAME: \"a/b\" is neither"},
		{"REDIS_WAIT_REPLICAS=17", "REDIS_WAIT_REPLICAS: 17 is not between 0 and 16"},
		{"REDIS_WAIT_TIMEOUT=1ms", "REDIS_WAIT_TIMEOUT: 1ms is not between 10ms and 10m0s"},
		{"REDIS_PORT=tcp://10.0.0.1:6379", "REDIS_PORT: \"tcp://10.0.0.1:6379\" is a Kubernetes service link"},
		{"REDIS_PORT=0", "REDIS_PORT: 0 is not between"},
		{"REDIS_DB=-1", "REDIS_DB: -1 is not between"},
		{"REDIS_TLS=perhaps", "REDIS_TLS: \"perhaps\" is neither true nor false"},
		{"REDIS_ADDRS=a:1", "REDIS_ADDRS: is set, but REDIS_MODE is single"},
		{"REDIS_MODE=cluster", "REDIS_ADDRS: is not set; REDIS_MODE=cluster needs it"},
		{"REDIS_MODE=cluster REDIS_ADDRS=a:1,b", "REDIS_ADDRS: \"b\" is not host:port"},
		{"REDIS_MODE=cluster REDIS_ADDRS=a:0", "REDIS_ADDRS: \"a:0\" has no port"},
		{"REDIS_MODE=cluster REDIS_ADDRS=a:1 REDIS_DB=1", "REDIS_DB: is 1; a cluster has database 0 only"},
		{"REDIS_MODE=cluster REDIS_ADDRS=a:1 REDIS_URL=redis://h", "REDIS_URL: is only for REDIS_MODE=single"},
		{"REDIS_MODE=sentinel REDIS_ADDRS=a:1", "REDIS_MASTER_NAME: is not set"},
		{"REDIS_URL=http://h", "REDIS_URL: begins with neither"},
		{"REDIS_URL=redis://u:hush%zz@h", "REDIS_URL: is not a URL"},
		{"REDIS_URL=redis://:hush@", "REDIS_URL: names no host"},
		{"REDIS_URL=redis://:hush@h/1?max_retries=2", "REDIS_URL: has parameters"},
		{"REDIS_URL=redis://:hush@h/db", "REDIS_URL: is not redis://"},
		{"REDIS_PREFIX=teloo", "REDIS_PREFIX: \"teloo\" is not"},
		{"REDIS_PREFIX={a}{b}", "REDIS_PREFIX: \"{a}{b}\" is not"},
		{"REDIS_PREFIX={}", "REDIS_PREFIX: \"{}\" is not"},
		{"REDIS_PREFIX={" + long + "}", "REDIS_PREFIX: "},

		{"JWT_ALGORITHM=none", "JWT_ALGORITHM: \"none\" is none of"},
		{"JWT_ALGORITHM=HS256,HS256", "JWT_ALGORITHM: HS256 stands there twice"},
		{"JWT_ALGORITHM=,", "JWT_ALGORITHM: the list is empty"},
		{"JWT_SECRET_KEY=", "JWT_SECRET_KEY: is not set; HS256 needs it"},
		{"JWT_SECRET_KEY=-----BEGIN", "JWT_SECRET_KEY: is a PEM key"},
		{"JWT_ALGORITHM=RS256", "JWT_PUBLIC_KEY_PATH: is not set, nor is JWT_JWKS_URL; RS256 needs one"},
		{"JWT_ALGORITHM=RS256 JWT_PUBLIC_KEY_PATH=" + ec.public, "JWT_PUBLIC_KEY_PATH: file " + ec.public + ": no key for RS256"},
		{"JWT_ALGORITHM=ES256,PS512 JWT_PUBLIC_KEY_PATH=" + rsa.public, "JWT_PUBLIC_KEY_PATH: file " + rsa.public + ": no key for ES256"},
		{"JWT_ALGORITHM=RS256 JWT_PUBLIC_KEY_PATH=" + rsa.private, "JWT_PUBLIC_KEY_PATH: file " + rsa.private + ": a private key"},
		{"JWT_ALGORITHM=RS256 JWT_PUBLIC_KEY_PATH=/nowhere.pem", "JWT_PUBLIC_KEY_PATH: file: open /nowhere.pem: no such file"},
		{"JWT_ALGORITHM=RS256 JWT_PUBLIC_KEY_PATH=" + rsa.public + " JWT_JWKS_URL=https://h/k", "JWT_JWKS_URL: is set, and JWT_PUBLIC_KEY_PATH too"},
		{"JWT_ALGORITHM=RS256 JWT_JWKS_URL=h/k", "JWT_JWKS_URL: is not an https:// URL"},
		{"JWT_ALGORITHM=RS256 JWT_JWKS_URL=https://u:hush@h/k", "JWT_JWKS_URL: holds a user or password"},
		{"JWT_ROLES=admin", "JWT_ROLES: \"admin\" is not name=value"},
		{"JWT_ROLES=a=admin,A=client", "JWT_ROLES: \"a\" stands there twice"},
		{"JWT_ROLES=boss=root", "JWT_ROLES: \"root\" is none of admin, advisor, client"},
		{"JWT_ROLES=,", "JWT_ROLES: the list is empty"},
		{"SUBSCRIBE_POLICY=admin=any,advisor=any", "SUBSCRIBE_POLICY: says nothing of role client"},
		{"SUBSCRIBE_POLICY=admin=any,advisor=some,client=none", "SUBSCRIBE_POLICY: \"some\" is none of any, granted, none"},
		{"SUBSCRIBE_POLICY=admin=any,advisor=any,client=none,boss=any", "SUBSCRIBE_POLICY: \"boss\" is none of"},

		{"NODE_NAME=-a", "NODE_NAME: \"-a\" is not 1 to 63"},
		{"NODE_NAME=" + long, "NODE_NAME: "},
		{"NODE_NAME=a:b", "NODE_NAME: \"a:b\" is not"},
		{"ADVERTISE_ADDR=10.0.0.7", "ADVERTISE_ADDR: \"10.0.0.7\" is not host:port"},
		{"CLUSTER_BIND=7946", "CLUSTER_BIND: \"7946\" is not host:port"},
		{"CLUSTER_BIND=name:7946", "CLUSTER_BIND: \"name\" is not an IP address"},
		{"CLUSTER_ADVERTISE=10.0.0.7:1", "CLUSTER_ADVERTISE: is set, but neither"},
		{"CLUSTER_SEEDS=a,b:x", "CLUSTER_SEEDS: \"b:x\" has no port"},

		{"WS_MAX_CONNECTIONS=0", "WS_MAX_CONNECTIONS: 0 is not between 1 and 1000000"},
		{"CONNECT_RATE=-1", "CONNECT_RATE: -1 is not between"},
		{"CONNECT_TIMEOUT=1ms", "CONNECT_TIMEOUT: 1ms is not between"},
		{"PING_INTERVAL=25", "PING_INTERVAL: \"25\" is not a duration"},
		{"PING_TIMEOUT=1h", "PING_TIMEOUT: 1h0m0s is not between"},
		{"MAX_PAYLOAD=1KB", "MAX_PAYLOAD: \"1KB\" is not a whole number"},
		{"MAX_PAYLOAD=100", "MAX_PAYLOAD: 100 is not between"},
		{"TRUSTED_PROXIES=haproxy,10.0.0.1,10.0.0.1/8", "TRUSTED_PROXIES: \"haproxy\" is no address|TRUSTED_PROXIES: 10.0.0.1/8 has bits set"},
		{"TRUSTED_PROXIES=0.0.0.0/0", "TRUSTED_PROXIES: 0.0.0.0/0 trusts everybody"},
		{"HANDSHAKE_RATE=-1", "HANDSHAKE_RATE: -1 is not between"},
		{"HANDSHAKE_BURST=0", "HANDSHAKE_BURST: 0 is not between"},
		{"MAX_SOCKETS_PER_USER=-1", "MAX_SOCKETS_PER_USER: -1 is not between"},
		{"MAX_ROOMS_PER_SOCKET=0", "MAX_ROOMS_PER_SOCKET: 0 is not between"},
		{"EVENT_RATE=many", "EVENT_RATE: \"many\" is not a whole number"},
		{"EVENT_BURST=0", "EVENT_BURST: 0 is not between"},
		{"RECOVERY_WINDOW=2h", "RECOVERY_WINDOW: 2h0m0s is not between"},
		{"LOG_MAX_ENTRIES=10", "LOG_MAX_ENTRIES: 10 is below 1000"},
		{"DEAD_MAX_ENTRIES=10", "DEAD_MAX_ENTRIES: 10 is below 1000"},
		{"GRANT_TTL=1s", "GRANT_TTL: 1s is below 1m0s"},
		{"DEDUPE_TTL=0s", "DEDUPE_TTL: 0s is not between"},
		{"VALIDATE_EVENTS=strict", `VALIDATE_EVENTS: "strict" is none of off, warn, enforce`},
		{"ADMIN_API_KEY=hush", "ADMIN_API_KEY: has 4 bytes; 32 or more are needed"},
		{"ADMIN_API_KEY=" + goodSecret + "é", "ADMIN_API_KEY: is not of at most 1,024 visible ASCII characters"},
		{"ADMIN_API_KEY=" + strings.Repeat("x", 1025), "ADMIN_API_KEY: is not of at most 1,024 visible ASCII characters"},
		{"METRICS_PORT=8003", "METRICS_PORT: 8003 is PORT, too"},
		{"METRICS_PORT=70000", "METRICS_PORT: 70000 is not between"},

		{"PORT=x MAX_PAYLOAD=y REDIS_MODE=z", "PORT: |MAX_PAYLOAD: |REDIS_MODE: "},
	} {
		t.Run(tc.environ, func(t *testing.T) {
			r := read(t, good(strings.Split(tc.environ, " ")...)...)
			requireFaults(t, r.Faults, strings.Split(tc.want, "|"))
		})
	}
}

func requireFaults(t *testing.T, got ConfigError, want []string) {
	t.Helper()
	lines := strings.Split(got.Error(), "\n")
	require.Len(t, lines, len(want), got.Error())
	for i, w := range want {
		require.True(t, strings.HasPrefix(lines[i], w), "want %q, got %q", w, lines[i])
		name, _, _ := strings.Cut(w, ":")
		require.Contains(t, lines[i], "; for example "+name+"=")
		require.NotContains(t, lines[i], "hush", "secrets are never shown")
	}
}

func TestProduction(t *testing.T) {
	for name, tc := range map[string]struct {
		environ []string
		want    []string
	}{
		"fine":           {nil, nil},
		"origins":        {[]string{"CORS_ORIGINS=https://teloo.example"}, nil},
		"wildcard":       {[]string{"CORS_ORIGINS=*"}, []string{"CORS_ORIGINS: * is refused in production"}},
		"short secret":   {[]string{"JWT_SECRET_KEY=hush"}, []string{"JWT_SECRET_KEY: has 4 bytes; production needs 32 or more"}},
		"seeds alone":    {[]string{"CLUSTER_SEEDS=a"}, []string{"CLUSTER_SECRET: is not set; gossip in production needs 32 or more"}},
		"bind alone":     {[]string{"CLUSTER_BIND=0.0.0.0:1"}, []string{"CLUSTER_SECRET: is not set"}},
		"short cluster":  {[]string{"CLUSTER_SEEDS=a", "CLUSTER_SECRET=hush"}, []string{"CLUSTER_SECRET: has 4 bytes"}},
		"cluster":        {[]string{"CLUSTER_SEEDS=a", "CLUSTER_SECRET=" + goodSecret}, nil},
		"JWKS over http": {[]string{"JWT_ALGORITHM=RS256", "JWT_JWKS_URL=http://h/k"}, []string{"JWT_JWKS_URL: is not https"}},
	} {
		t.Run(name, func(t *testing.T) {
			faults := read(t, good(append(tc.environ, "ENVIRONMENT=production")...)...).Faults
			if tc.want == nil {
				require.Empty(t, faults)
				return
			}
			requireFaults(t, faults, tc.want)
			if name != "JWKS over http" {
				require.Empty(t, read(t, good(append(tc.environ, "ENVIRONMENT=staging")...)...).Faults)
			}
		})
	}
}

func TestEnvFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	require.NoError(t, os.WriteFile(file, []byte("# a comment\nPORT=1111\nexport NODE_NAME='from file'\nLOG_LEVEL=WARNING\nJWT_SECRET_KEY=\"s p#1\"\n"), 0o600))
	r := readConfig([]string{"PORT=2222", "LOG_LEVEL=", "NODE_NAME=n"}, file)
	require.Empty(t, r.Faults)
	require.Equal(t, 2222, r.Config.Port, "the environment wins")
	require.Equal(t, slog.LevelWarn, r.Config.LogLevel, "an empty variable counts as unset")
	require.Equal(t, secret("s p#1"), r.Config.JWTSecretKey)
	require.Equal(t, fromEnv, r.Sources["PORT"])
	require.Equal(t, fromFile, r.Sources["LOG_LEVEL"])
	require.Equal(t, fromFile, r.Sources["JWT_SECRET_KEY"])
	require.Equal(t, fromDefault, r.Sources["HOST"])
}

func TestEnvFileFaults(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, ".env")
	require.NoError(t, os.WriteFile(file, []byte("PORT=8003\n\nJWT_SECRET_KEY hush\nHOST=::\n"), 0o600))
	r := readConfig(good(), file)
	require.Len(t, r.Faults, 1)
	require.Equal(t, file+": line 3 is not NAME=value; for example "+file+"=PORT=8003", r.Faults.Error())

	require.Contains(t, readConfig(good(), dir).Faults.Error(), "cannot be read: is a directory")
	require.Empty(t, readConfig(good(), filepath.Join(dir, "missing")).Faults)
	// A tool that needs only some variables still needs the file.
	require.Len(t, r.Faults.of([]string{"REDIS_"}), 1)
}

func TestWarnings(t *testing.T) {
	for environ, want := range map[string]string{
		"JWT_ALGORITHMS=HS256": "JWT_ALGORITHMS is not a variable of this program; is JWT_ALGORITHM meant?",
		"DRAIN_TIMEOUT=10s":    "DRAIN_TIMEOUT has no effect: it is DRAIN_WINDOW now, over which sending the clients away is spread",
		"CORS_ORIGIN=*":        "CORS_ORIGIN is not a variable of this program; is CORS_ORIGINS meant?",
		"REDIS_PASS=x":         "REDIS_PASS is not a variable of this program; is REDIS_PASSWORD meant?",
		"JTW_SECRET_KEY=x":     "JTW_SECRET_KEY is not a variable of this program; is JWT_SECRET_KEY meant?",
		"WS_MAX_CONNECTION=1":  "WS_MAX_CONNECTION is not a variable of this program; is WS_MAX_CONNECTIONS meant?",
		"JWT_EXPIRES=1":        "JWT_EXPIRES is not a variable of this program; it has no effect",
		"EVENT_BURST=255":      "EVENT_BURST is below MAX_ROOMS_PER_SOCKET: a page that subscribes to so many at once is refused some",

		"TRUSTED_PROXIES=loopback HANDSHAKE_RATE=0":    "TRUSTED_PROXIES has no effect: HANDSHAKE_RATE is 0",
		"REDIS_URL=redis://h REDIS_HOST=i":             "REDIS_URL is used; REDIS_HOST and REDIS_PORT have no effect",
		"JWT_PUBLIC_KEY_PATH=/x":                       "JWT_PUBLIC_KEY_PATH and JWT_JWKS_URL have no effect: JWT_ALGORITHM names HS algorithms only",
		"JWT_ALGORITHM=RS256 JWT_JWKS_URL=https://h/k": "JWT_SECRET_KEY has no effect: JWT_ALGORITHM names no HS algorithm",
	} {
		r := read(t, good(strings.Split(environ, " ")...)...)
		require.Equal(t, []string{want}, r.Warnings, environ)
		require.Empty(t, r.Faults, environ)
	}
	r := read(t, "JWT_SECRET_KEY= "+goodSecret)
	require.Equal(t, []string{"JWT_SECRET_KEY begins or ends with white space, which is part of it"}, r.Warnings)
	// Others' variables are none of our business.
	others := []string{
		"PATH=/bin", "HOSTNAME=h", "REDIS_SERVICE_HOST=10.0.0.1", "REDIS_PORT_6379_TCP=tcp://10.0.0.1:6379", "NODE_ENV=x",
		"NODE_OPTIONS=x", "LOG_DIR=x", "PORTS=1", "HOSTS=1",
	}
	require.Empty(t, read(t, good(others...)...).Warnings)
}

func TestValuesAreTrimmedButSecretsAreNot(t *testing.T) {
	r := read(t, "PORT= 81 ", "JWT_SECRET_KEY= a ", "CORS_ORIGINS= https://a.example , https://b.example:81,")
	require.Empty(t, r.Faults)
	require.Equal(t, 81, r.Config.Port)
	require.Equal(t, secret(" a "), r.Config.JWTSecretKey)
	require.Equal(t, list{"https://a.example", "https://b.example:81"}, r.Config.CORSOrigins)
}

func TestSecretsAreNeverShown(t *testing.T) {
	s := secret("hush-hush")
	encoded, err := json.Marshal(s)
	require.NoError(t, err)
	var log strings.Builder
	c := read(t, good("CLUSTER_SECRET=hush-hush")...).Config
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "config", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "config", c)
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%#v %+v %v", s, c, c), fmt.Sprintf("%#v", c), string(encoded), log.String()} {
		require.NotContains(t, shown, "hush-hush")
		require.NotContains(t, shown, goodSecret)
		require.Contains(t, shown, "****** (9 bytes)")
	}
	require.Empty(t, secret("").String())
}

func TestLogger(t *testing.T) {
	for format, want := range map[string]string{"json": `"node":"n"`, "text": "node=n"} {
		var out strings.Builder
		a := &app{stderr: &out}
		log := a.logger(Config{LogFormat: format, NodeName: "n", LogLevel: slog.LevelWarn})
		log.Info("hidden")
		log.Warn("shown")
		require.Contains(t, out.String(), want)
		require.NotContains(t, out.String(), "hidden")
	}
}

func FuzzParseConfig(f *testing.F) {
	for i := range variables {
		f.Add(i, variables[i].Example)
	}
	f.Add(slices.IndexFunc(variables, func(v variable) bool { return v.Name == "JWT_SECRET_KEY" }), ",00") // two faults at once
	f.Add(1, "tcp://x:1")
	f.Fuzz(func(t *testing.T, i int, value string) {
		if strings.ContainsRune(value, 0) || i < 0 {
			t.Skip("no environment has it")
		}
		v := variables[i%len(variables)]
		if v.Name == "JWT_PUBLIC_KEY_PATH" {
			t.Skip("reads files")
		}
		r := readConfig([]string{v.Name + "=" + value, "JWT_PUBLIC_KEY_PATH="}, "")
		for _, fault := range r.Faults {
			require.NotEmpty(t, fault.Name)
			require.NotContains(t, fault.String(), "\n")
		}
		r.settings()
		if len(r.Faults) == 0 {
			r.Config.redisOptions(true)
		}
	})
}
