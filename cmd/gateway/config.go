package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Values of ENVIRONMENT.
const (
	envDevelopment = "development"
	envStaging     = "staging"
	envProduction  = "production"
)

// Values of REDIS_MODE.
const (
	redisSingle   = "single"
	redisSentinel = "sentinel"
	redisCluster  = "cluster"
)

// gossipPort is the port of CLUSTER_BIND and CLUSTER_SEEDS where they name none; memberlist's own.
const gossipPort = "7946"

// Config is the whole configuration. A variable that is unset or empty has its default. The variables' meanings stand
// in variables.go; the default of a derived one (LOG_FORMAT, NODE_NAME, ADVERTISE_ADDR, CLUSTER_BIND) is filled in by complete.
type Config struct {
	Environment     string        `env:"ENVIRONMENT"      envDefault:"development"`
	Host            string        `env:"HOST"`
	Port            int           `env:"PORT"             envDefault:"8003"`
	LogLevel        slog.Level    `env:"LOG_LEVEL"        envDefault:"info"`
	LogFormat       string        `env:"LOG_FORMAT"`
	CORSOrigins     list          `env:"CORS_ORIGINS"`
	DrainWindow     time.Duration `env:"DRAIN_WINDOW"     envDefault:"20s"`
	ShutdownTimeout time.Duration `env:"SHUTDOWN_TIMEOUT" envDefault:"28s"`
	CanaryInterval  time.Duration `env:"CANARY_INTERVAL"  envDefault:"5s"`

	RedisMode             string `env:"REDIS_MODE"              envDefault:"single"`
	RedisURL              secret `env:"REDIS_URL"`
	RedisHost             string `env:"REDIS_HOST"              envDefault:"localhost"`
	RedisPort             int    `env:"REDIS_PORT"              envDefault:"6379"`
	RedisAddrs            list   `env:"REDIS_ADDRS"`
	RedisMasterName       string `env:"REDIS_MASTER_NAME"`
	RedisUsername         string `env:"REDIS_USERNAME"`
	RedisPassword         secret `env:"REDIS_PASSWORD"`
	RedisSentinelUsername string `env:"REDIS_SENTINEL_USERNAME"`
	RedisSentinelPassword secret `env:"REDIS_SENTINEL_PASSWORD"`
	RedisDB               int    `env:"REDIS_DB"                envDefault:"0"`
	RedisTLS              bool   `env:"REDIS_TLS"               envDefault:"false"`
	RedisTLSServerName    string `env:"REDIS_TLS_SERVER_NAME"`
	RedisCAPath           string `env:"REDIS_CA_PATH"`
	RedisCertPath         string `env:"REDIS_CERT_PATH"`
	RedisKeyPath          string `env:"REDIS_KEY_PATH"`
	RedisPrefix           string `env:"REDIS_PREFIX"            envDefault:"{teloo}"`

	RedisWaitReplicas int           `env:"REDIS_WAIT_REPLICAS" envDefault:"0"`
	RedisWaitTimeout  time.Duration `env:"REDIS_WAIT_TIMEOUT"  envDefault:"1s"`

	JWTAlgorithm     list   `env:"JWT_ALGORITHM"       envDefault:"HS256"`
	JWTSecretKey     secret `env:"JWT_SECRET_KEY"`
	JWTPublicKeyPath string `env:"JWT_PUBLIC_KEY_PATH"`
	JWTJWKSURL       string `env:"JWT_JWKS_URL"`
	JWTIssuer        string `env:"JWT_ISSUER"`
	JWTAudience      string `env:"JWT_AUDIENCE"`
	JWTRoles         pairs  `env:"JWT_ROLES"           envDefault:"admin=admin,analyst=admin,support=admin,advisor=advisor,client=client"`
	SubscribePolicy  pairs  `env:"SUBSCRIBE_POLICY"    envDefault:"admin=any,advisor=any,client=granted"`

	NodeName         string `env:"NODE_NAME"`
	AdvertiseAddr    string `env:"ADVERTISE_ADDR"`
	ClusterBind      string `env:"CLUSTER_BIND"`
	ClusterAdvertise string `env:"CLUSTER_ADVERTISE"`
	ClusterSeeds     list   `env:"CLUSTER_SEEDS"`
	ClusterSecret    secret `env:"CLUSTER_SECRET"`
	ForwardPolls     bool   `env:"FORWARD_POLLS"     envDefault:"true"`

	WSMaxConnections int           `env:"WS_MAX_CONNECTIONS" envDefault:"10000"`
	ConnectRate      int           `env:"CONNECT_RATE"       envDefault:"0"`
	ConnectTimeout   time.Duration `env:"CONNECT_TIMEOUT"    envDefault:"10s"`
	PingInterval     time.Duration `env:"PING_INTERVAL"      envDefault:"25s"`
	PingTimeout      time.Duration `env:"PING_TIMEOUT"       envDefault:"20s"`
	MaxPayload       int           `env:"MAX_PAYLOAD"        envDefault:"100000"`
	AllowEIO3        bool          `env:"ALLOW_EIO3"         envDefault:"false"`

	TrustedProxies    list `env:"TRUSTED_PROXIES"`
	HandshakeRate     int  `env:"HANDSHAKE_RATE"       envDefault:"50"`
	HandshakeBurst    int  `env:"HANDSHAKE_BURST"      envDefault:"500"`
	MaxSocketsPerUser int  `env:"MAX_SOCKETS_PER_USER" envDefault:"100"`
	MaxRoomsPerSocket int  `env:"MAX_ROOMS_PER_SOCKET" envDefault:"256"`
	EventRate         int  `env:"EVENT_RATE"           envDefault:"50"`
	EventBurst        int  `env:"EVENT_BURST"          envDefault:"300"`

	RecoveryWindow    time.Duration `env:"RECOVERY_WINDOW"     envDefault:"2m"`
	RecoveryMaxEvents int           `env:"RECOVERY_MAX_EVENTS" envDefault:"10000"`
	RingMaxEntries    int           `env:"RING_MAX_ENTRIES"    envDefault:"100000"`
	RingMaxBytes      int           `env:"RING_MAX_BYTES"      envDefault:"67108864"`
	LogMaxEntries     int64         `env:"LOG_MAX_ENTRIES"     envDefault:"500000"`
	DeadMaxEntries    int64         `env:"DEAD_MAX_ENTRIES"    envDefault:"100000"`
	GrantTTL          time.Duration `env:"GRANT_TTL"           envDefault:"720h"`
	DedupeTTL         time.Duration `env:"DEDUPE_TTL"          envDefault:"10m"`
	ValidateEvents    string        `env:"VALIDATE_EVENTS"     envDefault:"off"`

	EmitterChannel string `env:"EMITTER_CHANNEL"`
	PythonChannel  string `env:"PYTHON_CHANNEL"`
	LegacyChannels list   `env:"LEGACY_CHANNELS"`

	TraceEntries int     `env:"TRACE_ENTRIES"              envDefault:"20000"`
	OTLPEndpoint string  `env:"OTLP_ENDPOINT"`
	OTLPHeaders  secret  `env:"OTEL_EXPORTER_OTLP_HEADERS"`
	OTLPRatio    float64 `env:"OTLP_RATIO"                 envDefault:"0.01"`

	AdminAPIKey secret `env:"ADMIN_API_KEY"`
	MetricsPort int    `env:"METRICS_PORT"  envDefault:"0"`
	Metrics     bool   `env:"METRICS"       envDefault:"true"`
}

// Source says where a variable's value came from.
type Source string

// Sources of values.
const (
	fromDefault Source = "default"
	fromEnv     Source = "env"
	fromFile    Source = ".env"
)

// pythonLevels are names of levels that deployments of the original service use and slog doesn't know.
var pythonLevels = map[string]string{"WARNING": "warn", "CRITICAL": "error"}

// reading is a configuration with everything that was found wrong or odd in it. Config is usable only without faults.
type reading struct {
	Config   Config
	Faults   ConfigError
	Warnings []string
	Sources  map[string]Source
	// Raw are the values as text, defaults included.
	Raw map[string]string
}

// readConfig reads the configuration from environ (NAME=value) and, for variables not in there, from the file. A file
// that does not exist counts as empty.
func readConfig(environ []string, file string) reading {
	fromProcess := env.ToMap(environ)
	fromDot, fault := readEnvFile(file)
	merged := maps.Clone(fromDot)
	for name, value := range fromProcess {
		// An empty variable counts as unset, so that `NAME=` of a compose file does not hide the .env file's.
		if value != "" || fromDot[name] == "" {
			merged[name] = value
		}
	}
	r := parseConfig(merged)
	for name, source := range r.Sources {
		if source == fromEnv && fromProcess[name] == "" {
			r.Sources[name] = fromFile
		}
	}
	if fault != nil {
		r.Faults = append(ConfigError{*fault}, r.Faults...)
	}
	r.Warnings = append(r.Warnings, strangers(merged)...)
	r.Warnings = append(r.Warnings, r.oddities()...)
	return r
}

// defaultConfig is the configuration of an empty environment.
func defaultConfig() Config { return parseConfig(nil).Config }

// parseConfig parses and checks the variables in vars.
func parseConfig(vars map[string]string) reading {
	r := reading{Sources: map[string]Source{}, Raw: map[string]string{}}
	if vars == nil {
		vars = map[string]string{} // nil would make the library read the environment
	}
	trimmed := make(map[string]string, len(vars))
	for name, value := range vars {
		if v, _ := lookup(name); !v.Secret {
			value = strings.TrimSpace(value)
		}
		trimmed[name] = value
	}
	if name, ok := pythonLevels[strings.ToUpper(trimmed["LOG_LEVEL"])]; ok {
		trimmed["LOG_LEVEL"] = name
	}
	err := env.ParseWithOptions(&r.Config, env.Options{
		Environment: trimmed,
		OnSet: func(name string, _ any, isDefault bool) {
			r.Sources[name] = fromEnv
			if isDefault || trimmed[name] == "" {
				r.Sources[name] = fromDefault
			}
		},
	})
	failed := r.parseFaults(err, trimmed)
	derived := complete(&r.Config)
	for _, v := range variables {
		field, def := v.field()
		r.Raw[v.Name] = trimmed[v.Name]
		if r.Raw[v.Name] == "" {
			r.Raw[v.Name] = def
		}
		if d, ok := derived[field]; ok {
			r.Raw[v.Name] = d
		}
	}
	for _, f := range r.Config.check() {
		if !failed[f.Name] {
			r.Faults = append(r.Faults, f)
		}
	}
	return r
}

// parseFaults turns the library's errors into faults and returns the names of the variables concerned.
func (r *reading) parseFaults(err error, vars map[string]string) map[string]bool {
	failed := map[string]bool{}
	var all env.AggregateError
	if err != nil && !errors.As(err, &all) {
		all.Errors = []error{err}
	}
	for _, e := range all.Errors {
		var pe env.ParseError
		if !errors.As(e, &pe) {
			r.Faults = append(r.Faults, Fault{Name: "configuration", Problem: e.Error()})
			continue
		}
		v := variableOfField(pe.Name)
		failed[v.Name] = true
		r.Faults = append(r.Faults, v.fault(parseProblem(pe, vars[v.Name])))
	}
	return failed
}

func parseProblem(pe env.ParseError, value string) string {
	if strings.HasPrefix(value, "tcp://") {
		return quote(value) + " is a Kubernetes service link, made for a Service of that name; set the variable yourself, " +
			"or set enableServiceLinks: false"
	}
	switch pe.Type.Kind() { //nolint:exhaustive // the kinds of Config's fields
	case reflect.Int, reflect.Int64:
		if pe.Type == reflect.TypeFor[time.Duration]() {
			return quote(value) + " is not a duration with a unit (ms, s, m, h)"
		}
		if errors.Is(pe.Err, strconv.ErrRange) {
			return quote(value) + " is out of range"
		}
		if pe.Type == reflect.TypeFor[slog.Level]() {
			return quote(value) + " is none of debug, info, warn, error"
		}
		return quote(value) + " is not a whole number"
	case reflect.Bool:
		return quote(value) + " is neither true nor false"
	default:
		return pe.Err.Error()
	}
}

// complete fills in the defaults that depend on the machine or on other variables, and returns those by field.
func complete(c *Config) map[string]string {
	derived := map[string]string{}
	set := func(field string, dst *string, value string) {
		if *dst == "" && value != "" {
			*dst, derived[field] = value, value
		}
	}
	set("NodeName", &c.NodeName, hostName())
	format := "json"
	if c.Environment == envDevelopment {
		format = "text"
	}
	set("LogFormat", &c.LogFormat, format)
	host := c.Host
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = cmp.Or(advertisedHost(c.ClusterAdvertise), hostAddr())
	}
	// From a faulty value follows nothing: it would only be a second fault.
	if isHost(host) && c.Port > 0 && c.Port <= 65535 {
		set("AdvertiseAddr", &c.AdvertiseAddr, net.JoinHostPort(host, strconv.Itoa(c.Port)))
	}
	if len(c.ClusterSeeds) > 0 {
		set("ClusterBind", &c.ClusterBind, net.JoinHostPort("0.0.0.0", gossipPort))
	}
	return derived
}

// gossips reports whether this node takes part in gossip.
func (c Config) gossips() bool { return c.ClusterBind != "" }

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// advertisedHost is the host of CLUSTER_ADVERTISE: where others reach this node's gossip, they reach its PORT.
func advertisedHost(advertise string) string {
	if host, _, err := net.SplitHostPort(advertise); err == nil {
		return host
	}
	return advertise
}

// hostAddr is the machine's first address that others can reach, else loopback.
func hostAddr() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// readEnvFile reads a .env file. Its fault never shows the file's content, which may be a secret.
func readEnvFile(path string) (map[string]string, *Fault) {
	if path == "" {
		return map[string]string{}, nil
	}
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return map[string]string{}, &Fault{Name: path, Problem: "cannot be read: " + errors.Unwrap(err).Error()}
	}
	vars, err := godotenv.UnmarshalBytes(content)
	if err != nil {
		return map[string]string{}, &Fault{
			Name:    path,
			Problem: fmt.Sprintf("line %d is not NAME=value", badLine(content)),
			Example: "PORT=8003",
		}
	}
	return vars, nil
}

// badLine is the 1-based line from which on every prefix of content is malformed.
func badLine(content []byte) int {
	lines := bytes.SplitAfter(content, []byte("\n"))
	for n := len(lines) - 1; n > 0; n-- {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n], nil)); err == nil {
			return n + 1
		}
	}
	return 1
}
