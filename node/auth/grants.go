package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Grants reads who may subscribe to a solicitud, and removes what has expired. It is safe for concurrent use.
type Grants struct {
	redis  redis.UniversalClient
	prefix string
	log    *slog.Logger
	now    func() time.Time
	every  time.Duration // between two sweeps, about

	failures atomic.Uint64 // sweeps that failed
}

// NewGrants returns the grants kept under prefix ("{teloo}"). The client stays the caller's.
func NewGrants(client redis.UniversalClient, prefix string, log *slog.Logger) *Grants {
	return &Grants{
		redis: client, prefix: prefix, log: log.With("component", "grants"), now: time.Now, every: 10 * time.Minute,
	}
}

// GrantsKey is the sorted set of a solicitud's grants: the user's id as member, the expiry in unix milliseconds as score.
func GrantsKey(prefix, solicitud string) string {
	return prefix + ":grants:" + url.PathEscape(solicitud)
}

// GrantsIndex is the sorted set of the solicitudes that an event has granted something for, escaped as in their keys,
// by the greatest expiry known, in unix milliseconds.
func GrantsIndex(prefix string) string { return prefix + ":grants" }

// Granted says whether user holds an unexpired grant for solicitud: one round trip. Expiry is judged by this host's
// clock, which is exact enough for grants of days. A grant that cannot be asked for is an error and not a no.
func (g *Grants) Granted(ctx context.Context, solicitud, user string) (bool, error) {
	if !ValidID(solicitud) || !ValidID(user) {
		return false, nil
	}
	expiry, err := g.redis.ZScore(ctx, GrantsKey(g.prefix, solicitud), user).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading a grant: %w", err)
	}
	return expiry > float64(g.now().UnixMilli()), nil
}
