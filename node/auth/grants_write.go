package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrBadGrant says that what should be granted or withdrawn is no id, or for no time. Nothing was written.
var ErrBadGrant = errors.New("not a grant")

// withdrawalsKept is about how many notices of withdrawals Redis holds. A node that was away for more looks at all that
// its sockets subscribed to.
const withdrawalsKept = 10_000

// WithdrawalsKey is the stream of notices that grants were withdrawn, with the fields solicitud and user.
func WithdrawalsKey(prefix string) string { return prefix + ":withdrawn" }

// Grant lets user subscribe to solicitud for ttl from now on. A grant that lasts longer stays as it is. Repeating the
// call after an error is harmless.
func (g *Grants) Grant(ctx context.Context, solicitud, user string, ttl time.Duration) error {
	if err := checkGrant(solicitud, user); err != nil {
		return err
	}
	expires := g.now().Add(ttl)
	if ttl <= 0 || expires.Unix() > maxTime {
		return fmt.Errorf("%w: for %s", ErrBadGrant, ttl)
	}
	score := float64(expires.UnixMilli())
	_, err := g.redis.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.ZAddGT(ctx, GrantsKey(g.prefix, solicitud), redis.Z{Score: score, Member: user})
		tx.ZAddGT(ctx, GrantsIndex(g.prefix), redis.Z{Score: score, Member: url.PathEscape(solicitud)})
		return nil
	})
	if err != nil {
		return fmt.Errorf("granting: %w", err)
	}
	return nil
}

// Withdraw ends a user's grant for solicitud, whoever gave it; nodes take the user's sockets out of the room within a
// second. It does not touch what the role allows or a token's own claim, and an event that names the user later grants
// again. Repeating the call after an error is harmless.
func (g *Grants) Withdraw(ctx context.Context, solicitud, user string) error {
	if err := checkGrant(solicitud, user); err != nil {
		return err
	}
	_, err := g.redis.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.ZRem(ctx, GrantsKey(g.prefix, solicitud), user)
		tx.XAdd(ctx, &redis.XAddArgs{
			Stream: WithdrawalsKey(g.prefix), MaxLen: withdrawalsKept, Approx: true,
			Values: []string{solicitudField, solicitud, userFieldName, user},
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("withdrawing a grant: %w", err)
	}
	return nil
}

func checkGrant(solicitud, user string) error {
	for what, id := range map[string]string{"solicitud": solicitud, "user": user} {
		if !ValidID(id) {
			return fmt.Errorf("%w: %s: want 1 to %d bytes without control characters", ErrBadGrant, what, maxID)
		}
	}
	return nil
}
