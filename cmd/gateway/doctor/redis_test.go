package doctor

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// redisFindings are those of a Redis with these settings, by name.
func redisFindings(t *testing.T, prepare func(*redis.Client), settings ...string) map[string]Finding {
	t.Helper()
	c := redistest.Start(t, settings...).Client()
	if prepare != nil {
		prepare(c)
	}
	found := map[string]Finding{}
	Run(t.Context(), NewRedis(c, "{teloo}").Checks(), func(f Finding) { found[f.Name] = f })
	require.Len(t, found, 6)
	return found
}

func TestRedisSettings(t *testing.T) {
	for name, tc := range map[string]struct {
		settings []string
		check    string
		status   Status
		says     string
	}{
		"aof":          {[]string{"--appendonly", "yes"}, "redis persistence", OK, "AOF is on"},
		"no aof":       {[]string{"--appendonly", "no"}, "redis persistence", Failure, "there is no AOF"},
		"always":       {[]string{"--appendonly", "yes", "--appendfsync", "always"}, "redis fsync", OK, "always"},
		"everysec":     {[]string{"--appendonly", "yes", "--appendfsync", "everysec"}, "redis fsync", Warning, "everysec"},
		"no fsync":     {[]string{"--appendonly", "yes", "--appendfsync", "no"}, "redis fsync", Failure, "appendfsync no"},
		"irrelevant":   {[]string{"--appendonly", "no", "--appendfsync", "no"}, "redis fsync", OK, "does not matter"},
		"no config":    {[]string{"--appendonly", "yes", "--rename-command", "CONFIG", ""}, "redis fsync", Warning, "could not be examined: CONFIG is not allowed"},
		"unbounded":    {nil, "redis memory", OK, "no maxmemory"},
		"bounded":      {[]string{"--maxmemory", "100mb"}, "redis memory", OK, "of 100 MiB"},
		"evicts":       {[]string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "redis memory", Failure, "allkeys-lru"},
		"would evict":  {[]string{"--maxmemory-policy", "volatile-ttl"}, "redis memory", Warning, "volatile-ttl"},
		"full":         {[]string{"--maxmemory", "1"}, "redis memory", Failure, "are used"},
		"alone":        {nil, "redis replication", OK, "no replicas"},
		"replica":      {[]string{"--replicaof", "127.0.0.1 1"}, "redis replication", Failure, "this is a replica"},
		"too few":      {[]string{"--min-replicas-to-write", "0"}, "redis replication", OK, "no replicas"},
		"version":      {nil, "redis version", OK, "Redis "},
		"all allowed":  {nil, "redis permissions", OK, "user default may"},
		"acl renamed":  {[]string{"--rename-command", "ACL", ""}, "redis permissions", Warning, "ACL is not allowed"},
		"no unblocker": {[]string{"--rename-command", "XPENDING", ""}, "redis permissions", Failure, "XPENDING"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFinding(t, redisFindings(t, nil, tc.settings...)[tc.check], tc.status, tc.says)
		})
	}
}

func TestPermissionsOfALimitedUser(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client()
	for rules, want := range map[string]struct {
		status Status
		says   string
	}{
		"+@all ~{teloo}:* &{teloo}*":                            {OK, "user op may"},
		"+@all -@dangerous ~{teloo}:* &{teloo}*":                {Warning, "DRYRUN"},
		"+@all -xadd -@scripting ~{teloo}:* &{teloo}*":          {Failure, "may not: EVAL return, EVALSHA x, XADD"},
		"+@all ~other:* &{teloo}*":                              {Failure, "XADD {teloo}:events"},
		"+@all ~{teloo}:* resetchannels &other":                 {Failure, "PUBLISH {teloo}#/#"},
		"+@read +@write +@connection +acl ~{teloo}:* &{teloo}*": {Failure, "EVAL return"},
	} {
		require.NoError(t, admin.Do(t.Context(), "ACL", "DELUSER", "op").Err())
		args := []any{"ACL", "SETUSER", "op", "on", ">pw"}
		for rule := range strings.FieldsSeq(rules) {
			args = append(args, rule)
		}
		require.NoError(t, admin.Do(t.Context(), args...).Err())
		c := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "op", Password: "pw", Protocol: 2, DisableIdentity: true})
		f := found(t, NewRedis(c, "{teloo}").permissions)
		require.NoError(t, c.Close())
		requireFinding(t, f, want.status, want.says)
	}
}

// What nodes listen to has to be allowed, too, as the page on Redis has it.
func TestPermissionsOfTheIngress(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client()
	for rules, says := range map[string]string{
		"":                       "may not: SUBSCRIBE socketio, PSUBSCRIBE socket.io#*",
		"&socketio":              "may not: PSUBSCRIBE socket.io#*",
		"&socketio &socket.io#*": "may do what the gateway does",
	} {
		args := []any{"ACL", "SETUSER", "op", "on", ">pw", "+@all", "~*", "resetchannels", "&{teloo}*"}
		for rule := range strings.FieldsSeq(rules) {
			args = append(args, rule)
		}
		require.NoError(t, admin.Do(t.Context(), args...).Err())
		c := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "op", Password: "pw", Protocol: 2, DisableIdentity: true})
		f := found(t, NewRedis(c, "{teloo}").Listening([]string{"socketio"}, []string{"socket.io#*"}).permissions)
		require.NoError(t, c.Close())
		require.Contains(t, f.Says, says, rules)
	}
}

// Each command of our scripts is asked about.
func TestCommandsOfTheScriptsAreExamined(t *testing.T) {
	calls := regexp.MustCompile(`redis\.p?call\('([A-Z]+)'(?:, '(CREATE|DELCONSUMER|GROUPS|STREAM|CONSUMERS)')?`)
	scripts := 0
	require.NoError(t, filepath.WalkDir("../../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".lua" || strings.Contains(path, "node_modules") || strings.Contains(path, "/deploy/") {
			return err
		}
		scripts++
		text, err := os.ReadFile(path)
		for _, call := range calls.FindAllStringSubmatch(string(text), -1) {
			name := strings.TrimSpace(call[1] + " " + call[2])
			require.True(t, slices.ContainsFunc(commands, func(c string) bool { return c == name || strings.HasPrefix(c, name+" ") }), "%s calls %s", path, name)
		}
		return err
	}))
	require.Greater(t, scripts, 15)
}

func TestRedisThatDoesNotAnswer(t *testing.T) {
	server := redistest.Start(t)
	c := server.Client()
	r := NewRedis(c, "{teloo}")
	requireFinding(t, r.Reachable(t.Context()), OK, "answers in")
	server.Kill()
	requireFinding(t, r.Reachable(t.Context()), Failure, "does not answer")
	for _, check := range r.Checks() {
		requireFinding(t, found(t, check.Run), Warning, "could not be examined")
	}
}

func TestVersions(t *testing.T) {
	single, cluster := NewRedis(&redis.Client{}, ""), NewRedis(&redis.ClusterClient{}, "")
	for text, want := range map[string][2]Status{
		"5.0.14": {Failure, Failure}, "6.0.16": {Failure, Failure}, "6.2.14": {Warning, Failure}, "7.0.0": {OK, OK}, "8.2.1": {OK, OK}, "": {Warning, Warning}, "x.1": {Warning, Warning},
	} {
		s := server{info: map[string]string{"redis_version": text}}
		require.Equal(t, want, [2]Status{single.version(s).Status, cluster.version(s).Status}, text)
	}
	require.Contains(t, single.version(server{info: map[string]string{"redis_version": "7.2.4", "valkey_version": "8.0.1"}}).Says, "Valkey 8.0.1")
}

func TestWhatInfoSaysOfReplicasAndFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		look   func(server) Finding
		info   map[string]string
		status Status
	}{
		"replicas":         {replication, map[string]string{"role": "master", "connected_slaves": "2"}, Warning},
		"good replicas":    {replication, map[string]string{"role": "master", "connected_slaves": "2", "min_slaves_good_slaves": "1"}, OK},
		"bad replicas":     {replication, map[string]string{"role": "master", "connected_slaves": "2", "min_slaves_good_slaves": "0"}, Failure},
		"unsaid":           {persistence, nil, Warning},
		"unwritable":       {persistence, map[string]string{"aof_enabled": "1", "aof_last_write_status": "err"}, Failure},
		"loading":          {persistence, map[string]string{"aof_enabled": "1", "loading": "1"}, Warning},
		"not rewritten":    {persistence, map[string]string{"aof_enabled": "1", "aof_last_bgrewrite_status": "err"}, Warning},
		"policy unsaid":    {memory, nil, Warning},
		"almost full":      {memory, map[string]string{"maxmemory_policy": "noeviction", "maxmemory": "100", "used_memory": "85"}, Warning},
		"nearly full":      {memory, map[string]string{"maxmemory_policy": "noeviction", "maxmemory": "100", "used_memory": "96"}, Failure},
		"room is left yet": {memory, map[string]string{"maxmemory_policy": "noeviction", "maxmemory": "100", "used_memory": "79"}, OK},
	} {
		require.Equal(t, tc.status, tc.look(server{info: tc.info}).Status, name)
	}
}

func TestClientOfAnUnknownKind(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{})
	defer func() { _ = ring.Close() }()
	_, err := NewRedis(ring, "").servers(context.Background())
	require.ErrorContains(t, err, "unknown kind")
}
