package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// commands are those that the gateway sends or its scripts call, with arguments as they could be; KEY stands for a key of
// ours, CHANNEL for a channel.
var commands = []string{
	"PING", "TIME", "INFO", "WAIT 1 1", "MULTI", "EXEC", "CLIENT SETNAME x", "CLIENT ID", "CLIENT UNBLOCK 1",
	"EVAL return 1 KEY", "EVALSHA x 1 KEY",
	"PUBLISH CHANNEL x", "SUBSCRIBE CHANNEL", "PUBSUB channels *", "PUBSUB NUMSUB CHANNEL",
	"GET KEY", "MGET KEY", "SET KEY x", "DEL KEY", "EXISTS KEY", "INCR KEY",
	"HDEL KEY f", "HGET KEY f", "HGETALL KEY", "HINCRBY KEY f 1", "HLEN KEY", "HVALS KEY", "HMGET KEY f", "HSCAN KEY 0", "HRANDFIELD KEY 1", "HSET KEY f x",
	"XACK KEY g 1-1", "XADD KEY * f x", "XAUTOCLAIM KEY g c 0 0-0", "XCLAIM KEY g c 0 1-1", "XDEL KEY 1-1",
	"XGROUP CREATE KEY g 0", "XGROUP DELCONSUMER KEY g c", "XINFO GROUPS KEY", "XINFO STREAM KEY", "XINFO CONSUMERS KEY g",
	"XLEN KEY", "XPENDING KEY g", "XRANGE KEY - +", "XREVRANGE KEY + -", "XTRIM KEY MAXLEN 1",
	"XREAD STREAMS KEY 0", "XREADGROUP GROUP g c STREAMS KEY >",
	"ZADD KEY 1 m", "ZMSCORE KEY m", "ZSCAN KEY 0", "ZRANGEBYSCORE KEY 0 1", "ZREM KEY m", "ZREMRANGEBYSCORE KEY 0 1", "ZREVRANGE KEY 0 1", "ZSCORE KEY m",
}

// asked are the words of each command that is asked about.
func (r *Redis) asked() [][]string {
	replace := strings.NewReplacer("KEY", r.prefix+":events", "CHANNEL", r.prefix+"#/#")
	all := make([][]string, 0, len(commands)+len(r.channels)+len(r.patterns))
	for _, line := range commands {
		all = append(all, strings.Fields(replace.Replace(line)))
	}
	for _, channel := range r.channels {
		all = append(all, []string{"SUBSCRIBE", channel})
	}
	for _, pattern := range r.patterns {
		all = append(all, []string{"PSUBSCRIBE", pattern})
	}
	return all
}

// permissions asks Redis, from 7.0 on, whether this user may do what the gateway does.
func (r *Redis) permissions(ctx context.Context) []Finding {
	const do = "allow them by ACL SETUSER, on the keys and channels that begin with REDIS_PREFIX, and on channels that are listened to"
	user, err := r.rdb.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil {
		return []Finding{warning(do, "could not be examined: ACL is not allowed (managed Redis?)")}
	}
	var refused []string
	for _, words := range r.asked() {
		args := []any{"ACL", "DRYRUN", user}
		for _, w := range words {
			args = append(args, w)
		}
		answer, err := r.rdb.Do(ctx, args...).Text()
		var said redis.Error
		switch {
		case err != nil && !errors.As(err, &said):
			return unknown(err)
		case err != nil && strings.Contains(err.Error(), "not found"): // a command that this server does not have
			refused = append(refused, words[0])
		case err != nil:
			return []Finding{warning(do, "user %s; could not be examined: ACL DRYRUN is not there or not allowed", user)}
		case answer != "OK":
			refused = append(refused, strings.Join(words[:min(2, len(words))], " "))
		}
	}
	if len(refused) > 0 {
		return []Finding{failure(do, "user %s may not: %s", user, strings.Join(refused, ", "))}
	}
	return []Finding{ok("user %s may do what the gateway does", user)}
}
