package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

const usersFile = "../../deploy/redis/users.acl"

// rights are the commands that a user of the file may run.
func rights(t *testing.T, user string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(usersFile)
	require.NoError(t, err)
	found := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "user "+user+" ") {
			continue
		}
		for rule := range strings.FieldsSeq(line) {
			if command, is := strings.CutPrefix(rule, "+"); is {
				found[command] = true
			}
		}
	}
	require.NotEmpty(t, found)
	return found
}

// fromGo are the commands that no script runs, and what for.
var fromGo = map[string]string{
	"ping": "health, subscriptions", "info": "run id, replicas", "time": "presence", "wait": "replicas", "multi": "transactions",
	"exec": "transactions", "eval": "scripts", "evalsha": "scripts", "client|setname": "each connection",
	"client|id": "the blocking read", "client|unblock": "the blocking read", "get": "presence, revocations", "mget": "sessions",
	"hgetall": "nodes, revocations", "hvals": "where an event is", "hscan": "a dead node's counts", "zscan": "revocations", "zscore": "grants", "zadd": "grants", "zrem": "grants",
	"xadd": "events, the log", "xrange": "the log", "xrevrange": "the log", "xread": "the log", "xreadgroup": "events", "xpending": "events",
	"xinfo|stream": "the log", "xinfo|consumers": "chores", "zrangebyscore": "expired grants",
	"publish": "requests", "subscribe": "requests, presence", "pubsub|channels": "requests", "pubsub|numsub": "presence",
	"spublish": "requests on a Cluster", "ssubscribe": "requests, presence on a Cluster", "pubsub|shardchannels": "requests on a Cluster",
	"pubsub|shardnumsub": "presence on a Cluster", "cluster|slots": "a Cluster's map",
}

var (
	called    = regexp.MustCompile(`redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)'|, [^)']*, '([A-Z]+)')?`)
	fetched   = regexp.MustCompile(`fetch\('([A-Z]+)'`)
	composite = []string{"XINFO", "XGROUP"}
)

// TestEachRightIsNeeded: what the scripts run and what Go runs, and nothing else, is what the user may do. That Go runs
// nothing else is what each end-to-end test makes sure of, whose nodes are that user.
func TestEachRightIsNeeded(t *testing.T) {
	needed := map[string]bool{}
	for command := range fromGo {
		needed[command] = true
	}
	require.NoError(t, filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && slices.Contains([]string{"testdata", "node_modules", ".git"}, d.Name()) {
			return errOrSkip(err)
		}
		if filepath.Ext(path) != ".lua" {
			return nil
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range called.FindAllStringSubmatch(string(text), -1) {
			command := strings.ToLower(m[1])
			if slices.Contains(composite, m[1]) {
				command += "|" + strings.ToLower(m[2])
			}
			needed[command] = true
		}
		for _, m := range fetched.FindAllStringSubmatch(string(text), -1) {
			needed[strings.ToLower(m[1])] = true
		}
		return nil
	}))
	require.Equal(t, slices.Sorted(maps.Keys(needed)), slices.Sorted(maps.Keys(rights(t, "gateway"))))
}

func errOrSkip(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// TestTheUsersFileIsOne: Redis takes it, and the README shows its lines.
func TestTheUsersFileIsOne(t *testing.T) {
	path, err := filepath.Abs(usersFile)
	require.NoError(t, err)
	client := redistest.Start(t, "--aclfile", path).Client()
	users, err := client.Do(t.Context(), "ACL", "USERS").StringSlice()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"default", "gateway", "core-api"}, users)
	// What may be forgotten to be changed is none that a server with other data should have.
	for user, key := range map[string]string{"gateway": "other", "core-api": "{teloo}:log"} {
		reply, err := client.Do(t.Context(), "ACL", "DRYRUN", user, "XADD", key, "*", "a", "b").Text()
		require.NoError(t, err)
		require.Contains(t, reply, "no permissions")
	}
}
