package auth

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	tokenMember, userField = "jti:", "user:"
	// revokedPage is how many entries one command asks for.
	revokedPage = 10_000
	// forgetAfter is how long what no token can need is kept, for hosts whose clocks differ.
	forgetAfter = time.Hour
)

// revoked is what was revoked at some moment.
type revoked struct {
	version string
	tokens  map[string]bool
	before  map[string]int64 // user → unix seconds: tokens issued up to then
}

// reading is a copy just read, and what was noticed about it.
type reading struct {
	*revoked
	strange int // entries that could not be understood
	stale   int // entries to forget
}

func (r *Revocations) tokensKey() string  { return r.cfg.Prefix + ":revoked" }
func (r *Revocations) beforeKey() string  { return r.cfg.Prefix + ":revoked:before" }
func (r *Revocations) versionKey() string { return r.cfg.Prefix + ":revoked:version" }

// read reads everything in pages. What is there throughout is found; what comes or goes meanwhile has another version.
func (r *Revocations) read(ctx context.Context, version string) (reading, error) {
	now := r.now()
	got := reading{revoked: &revoked{version: version, tokens: map[string]bool{}, before: map[string]int64{}}}
	err := pages(func(cursor uint64) ([]string, uint64, error) {
		return r.redis.ZScan(ctx, r.tokensKey(), cursor, "", revokedPage).Result()
	}, func(member, expiry string) { got.addToken(member, expiry, now) })
	if err != nil {
		return got, fmt.Errorf("reading revoked tokens: %w", err)
	}
	oldest := now.Add(-r.cfg.MaxTokenLife - forgetAfter).Unix()
	err = pages(func(cursor uint64) ([]string, uint64, error) {
		return r.redis.HScan(ctx, r.beforeKey(), cursor, "", revokedPage).Result()
	}, func(field, second string) { got.addUser(field, second, oldest) })
	if err != nil {
		return got, fmt.Errorf("reading revoked users: %w", err)
	}
	return got, nil
}

func pages(scan func(cursor uint64) (page []string, next uint64, err error), add func(name, value string)) error {
	for cursor := uint64(0); ; {
		page, next, err := scan(cursor)
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(page); i += 2 {
			add(page[i], page[i+1])
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// addToken leaves out tokens that have expired, leeway included, which their verifier refuses anyway.
func (r *reading) addToken(member, expiry string, now time.Time) {
	id, ok := strings.CutPrefix(member, tokenMember)
	at, err := strconv.ParseFloat(expiry, 64)
	if !ok || !ValidID(id) || err != nil {
		r.strange++
		return
	}
	if at <= float64(now.Add(-forgetAfter).UnixMilli()) {
		r.stale++
	}
	if at > float64(now.Add(-maxLeeway).UnixMilli()) {
		r.tokens[id] = true
	}
}

// addUser takes a time that is none for the end of all: somebody wanted that user's tokens refused.
func (r *reading) addUser(field, value string, oldest int64) {
	user, ok := strings.CutPrefix(field, userField)
	if !ok || !ValidID(user) {
		r.strange++
		return
	}
	second, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(second) || second > maxTime {
		r.strange++
		r.before[user] = math.MaxInt64
		return
	}
	at := int64(max(second, -1))
	if at < oldest {
		r.stale++
	}
	r.before[user] = at
}
