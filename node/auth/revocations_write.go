package auth

import (
	"context"
	_ "embed" // the script
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/revoke.lua
var revokeSource string

var revokeScript = redis.NewScript(revokeSource)

// ErrBadRevocation says that what should be revoked is no id, or a time is no time. Nothing was written.
var ErrBadRevocation = errors.New("not a revocation")

// RevokeToken refuses the token with that jti from now on, on all nodes within a second. expires is the token's exp; when
// it is zero, nobody knowing, the revocation is kept for MaxTokenLife. A token that has expired needs none: nil. Repeating
// the call after an error is harmless.
func (r *Revocations) RevokeToken(ctx context.Context, jti string, expires time.Time) error {
	now := r.now()
	switch {
	case !ValidID(jti):
		return fmt.Errorf("%w: jti: want 1 to %d bytes without control characters", ErrBadRevocation, maxID)
	case expires.IsZero():
		expires = now.Add(r.cfg.MaxTokenLife)
	case expires.Unix() > maxTime:
		return fmt.Errorf("%w: an expiry after the year 9999", ErrBadRevocation)
	case !expires.After(now.Add(-maxLeeway)):
		return nil
	}
	return r.write(ctx, tokenMember+jti, expires.UnixMilli())
}

// RevokeUser refuses all tokens of a user that were issued up to now, this second included, as RevokeUserBefore does.
func (r *Revocations) RevokeUser(ctx context.Context, user string) error {
	return r.RevokeUserBefore(ctx, user, r.now())
}

// RevokeUserBefore refuses a user's tokens whose iat is t or earlier, in whole seconds, and those without iat, on all
// nodes within a second. An earlier t than the one in force changes nothing; one to come bars the user until then.
// Repeating the call after an error is harmless.
func (r *Revocations) RevokeUserBefore(ctx context.Context, user string, t time.Time) error {
	switch second := t.Unix(); {
	case !ValidID(user):
		return fmt.Errorf("%w: user: want 1 to %d bytes without control characters", ErrBadRevocation, maxID)
	case second < 0 || second > maxTime:
		return fmt.Errorf("%w: a time out of 1970 to 9999", ErrBadRevocation)
	default:
		return r.write(ctx, userField+user, second)
	}
}

func (r *Revocations) write(ctx context.Context, what string, value int64) error {
	if err := r.script(ctx, what, value); err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// forget removes what no token needs. Whoever revokes by plain commands never does.
func (r *Revocations) forget(ctx context.Context) {
	if err := r.script(ctx, "", 0); err != nil {
		r.log.Debug("old revocations not removed; the next reading tries again", "err", err)
	}
}

func (r *Revocations) script(ctx context.Context, what string, value int64) error {
	now := r.now()
	keys := []string{r.tokensKey(), r.beforeKey(), r.versionKey()}
	err := revokeScript.Run(
		ctx, r.redis, keys, what, value, now.Add(-forgetAfter).UnixMilli(), now.Add(-r.cfg.MaxTokenLife-forgetAfter).Unix(),
	).Err()
	if errors.Is(err, redis.Nil) { // no version yet
		return nil
	}
	return err
}
