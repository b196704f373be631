package auth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	maxJWKSBytes           = 1 << 20
	maxRedirects           = 3
	firstRetry, longestTry = 500 * time.Millisecond, time.Minute
)

var (
	errNoKeys     = errors.New("the set has no key for the configured algorithms")
	errUnknownKey = errors.New("unknown kid") // which is a stranger's text, and so not shown
	errNotASet    = errors.New("the answer is no key set")
	errThrottled  = errors.New("the key set was read a moment ago")
)

// keySet is the cached JWKS. The library's own HTTP storage would start a goroutine that nobody waits for, and would let
// every token with an unknown key id queue for a read of its own; here Run owns the schedule and concurrent readers
// share one read.
type keySet struct {
	*jwkset.MemoryJWKSet
	cfg     Config
	shown   string // the address without credentials, nor a query, which may be one
	client  *http.Client
	lookup  keyfunc.Keyfunc
	demand  *rate.Limiter
	log     *slog.Logger
	loaded  atomic.Bool
	mu      sync.Mutex
	reading chan struct{} // closed when the read that is under way ends; nil when none is. Under mu.
}

var _ jwkset.Storage = (*keySet)(nil)

func newKeySet(cfg Config, log *slog.Logger) (*keySet, error) {
	u, err := url.Parse(cfg.JWKSURL)
	if err != nil {
		return nil, errors.New("JWKS URL cannot be parsed")
	}
	public := *u
	public.RawQuery, public.Fragment = "", ""
	s := &keySet{
		MemoryJWKSet: jwkset.NewMemoryStorage(), cfg: cfg, shown: public.Redacted(), client: newJWKSClient(), log: log,
		demand: rate.NewLimiter(rate.Every(cfg.JWKSMinInterval), 1),
	}
	s.lookup, err = keyfunc.New(keyfunc.Options{Storage: s})
	return s, err
}

// run reads the set every JWKSRefresh, sooner while that fails.
func (s *keySet) run(ctx context.Context) error {
	retry := firstRetry
	wait := s.cfg.JWKSRefresh
	if !s.loaded.Load() {
		wait = retry
	}
	for {
		timer := time.NewTimer(jitter(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if err := s.refresh(ctx, false); err == nil {
			retry, wait = firstRetry, s.cfg.JWKSRefresh
			continue
		}
		retry = min(2*retry, longestTry)
		wait = min(retry, s.cfg.JWKSRefresh)
	}
}

// jitter spreads the nodes' reads over a fifth of d.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/5+1)) //nolint:gosec // spreads load, guards nothing
}

// refresh reads the set, or waits for the read that is under way. Reads on demand of a token are limited in rate.
func (s *keySet) refresh(ctx context.Context, onDemand bool) error {
	s.mu.Lock()
	if reading := s.reading; reading != nil {
		s.mu.Unlock()
		select {
		case <-reading:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if onDemand && !s.demand.Allow() {
		s.mu.Unlock()
		return errThrottled
	}
	reading := make(chan struct{})
	s.reading = reading
	s.mu.Unlock()

	err := s.fetch(ctx, onDemand)

	s.mu.Lock()
	s.reading = nil
	s.mu.Unlock()
	close(reading)
	return err
}

func (s *keySet) fetch(ctx context.Context, onDemand bool) error {
	if onDemand {
		// Others wait for this read: it must not end because the connection that caused it went away.
		ctx = context.WithoutCancel(ctx)
	}
	_, err := jwkset.NewStorageFromHTTP(s.cfg.JWKSURL, jwkset.HTTPClientStorageOptions{
		Client: s.client, Ctx: ctx, HTTPTimeout: s.cfg.JWKSTimeout, Storage: s,
	})
	if err != nil {
		s.log.WarnContext(ctx, "reading the key set failed", "url", s.shown, "err", redact(err, s.shown))
		return err
	}
	if !s.loaded.Swap(true) {
		s.log.InfoContext(ctx, "key set loaded", "url", s.shown)
	}
	return nil
}

// redact replaces the address in an HTTP client's error, which may hold credentials.
func redact(err error, shown string) error {
	if failed := (*url.Error)(nil); errors.As(err, &failed) {
		return fmt.Errorf("%s %s: %w", failed.Op, shown, failed.Err)
	}
	return err
}

// KeyReplaceAll takes over a set just read, less the keys that no configured algorithm uses. It counts a set without any
// as a failed read, and yet takes it: an issuer may withdraw all its keys.
func (s *keySet) KeyReplaceAll(ctx context.Context, read []jwkset.JWK) error {
	keep := make([]jwkset.JWK, 0, len(read))
	for _, jwk := range read {
		if jwk.Marshal().USE != jwkset.UseEnc && suitsAny(publicKey(jwk.Key()), s.cfg.Algorithms) {
			keep = append(keep, jwk)
		}
	}
	if len(keep) > maxKeyNumber {
		return fmt.Errorf("the set has more than %d keys", maxKeyNumber)
	}
	if err := s.MemoryJWKSet.KeyReplaceAll(ctx, keep); err != nil {
		return err
	}
	if len(keep) == 0 {
		return errNoKeys
	}
	return nil
}

func publicKey(key any) any {
	if private, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		return private.Public()
	}
	return key
}

// KeyRead returns a key by its id; one that isn't there is looked for at the issuer's first.
func (s *keySet) KeyRead(ctx context.Context, kid string) (jwkset.JWK, error) {
	jwk, err := s.MemoryJWKSet.KeyRead(ctx, kid)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return jwk, err
	}
	failed := s.refresh(ctx, true)
	// A read that ended between the look and the refusal of another may have brought the key.
	if jwk, err = s.MemoryJWKSet.KeyRead(ctx, kid); errors.Is(err, jwkset.ErrKeyNotFound) {
		return jwk, errors.Join(errUnknownKey, failed)
	}
	return jwk, err
}

// KeyReadAll returns all keys, for tokens without a key id.
func (s *keySet) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	keys, err := s.MemoryJWKSet.KeyReadAll(ctx)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	failed := s.refresh(ctx, true)
	if keys, err = s.MemoryJWKSet.KeyReadAll(ctx); len(keys) == 0 && failed != nil {
		return nil, fmt.Errorf("no keys: %w", failed)
	}
	return keys, err
}

// key returns the keys to check a token with: that of its key id, or all that suit its algorithm.
func (s *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	found, err := s.lookup.KeyfuncCtx(ctx)(t)
	if err != nil {
		return nil, err
	}
	keys := []crypto.PublicKey{found}
	if set, ok := found.(jwt.VerificationKeySet); ok {
		keys = keys[:0]
		for _, key := range set.Keys {
			keys = append(keys, key)
		}
	}
	return fitting(keys, t.Method.Alg()), nil
}
