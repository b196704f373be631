package auth

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

const (
	// maxToken bounds what is parsed at all; cookies and headers end there too.
	maxToken = 8 << 10
	maxKeyID = 256
	// Whoever floods the gateway with bad tokens must not flood its log.
	refusalsPerSecond, refusalsBurst = 10, 20
)

// Identity is what a verified token says of its bearer.
type Identity struct {
	User, Role string
	// TokenID is jti, "" when the token has none.
	TokenID string
	// IssuedAt is zero when the token doesn't say.
	IssuedAt, ExpiresAt time.Time
	// Solicitudes are those whose rooms the token itself grants.
	Solicitudes []string
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	log    *slog.Logger
	parser *jwt.Parser
	hmac   jwt.VerificationKeySet
	pem    *keyFile // nil without PublicKeyPath
	jwks   *keySet  // nil without JWKSURL

	refusals   *rate.Limiter
	suppressed atomic.Uint64 // refusals not logged since the last one that was
}

// New validates cfg and loads the keys. A JWKS address that doesn't answer is logged and no error: Run keeps trying, and
// until then tokens are refused as invalid. ctx bounds that first read alone, which takes at most JWKSTimeout.
func New(ctx context.Context, cfg Config, log *slog.Logger) (*Verifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("auth configuration: %w", err)
	}
	cfg.Algorithms, cfg.Roles = slices.Clone(cfg.Algorithms), maps.Clone(cfg.Roles)
	v := &Verifier{
		cfg: cfg, log: log.With("component", "auth"), parser: newParser(cfg),
		refusals: rate.NewLimiter(refusalsPerSecond, refusalsBurst),
	}
	if cfg.uses(symmetric) {
		v.hmac, _ = hmacKeys(cfg.Secret) // validated above
	}
	v.cfg.Secret = nil
	if !cfg.uses(asymmetric) {
		return v, nil
	}
	if cfg.JWKSURL == "" {
		file, err := openKeyFile(cfg.PublicKeyPath, cfg.Algorithms, v.log)
		if err != nil {
			return nil, err
		}
		v.pem = file
		return v, nil
	}
	set, err := newKeySet(cfg, v.log)
	if err != nil {
		return nil, err
	}
	v.jwks = set
	_ = set.refresh(ctx, false) // logged there, and Run tries again
	return v, nil
}

func newParser(cfg Config) *jwt.Parser {
	// iat is checked because a token from the future would outlive the revocation of its user's older ones.
	options := []jwt.ParserOption{
		jwt.WithValidMethods(cfg.Algorithms), jwt.WithLeeway(cfg.Leeway), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(),
	}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		options = append(options, jwt.WithAudience(cfg.Audience))
	}
	return jwt.NewParser(options...)
}

// Run keeps the JWKS fresh, or follows the public key file's changes, until ctx ends; with a secret alone it just waits
// for that. It returns nil.
func (v *Verifier) Run(ctx context.Context) error {
	switch {
	case v.jwks != nil:
		return v.jwks.run(ctx)
	case v.pem != nil:
		return v.pem.run(ctx)
	default:
		<-ctx.Done()
		return nil
	}
}

// Ready says whether there are keys to verify with.
func (v *Verifier) Ready() bool { return v.jwks == nil || v.jwks.loaded.Load() }

// Verify checks a token and returns whose it is. The error is or wraps ErrTokenMissing, ErrTokenInvalid, ErrTokenExpired
// or ErrRoleUnknown; its text is for the log and never holds the token. A token with an unknown key id may wait for one
// read of the JWKS, bounded by ctx and JWKSTimeout.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	id, err := v.verify(ctx, token)
	if err != nil {
		v.logRefusal(ctx, err)
	}
	return id, err
}

func (v *Verifier) verify(ctx context.Context, token string) (Identity, error) {
	if token == "" {
		return Identity{}, ErrTokenMissing
	}
	if len(token) > maxToken {
		return Identity{}, fmt.Errorf("%w: longer than %d bytes", ErrTokenInvalid, maxToken)
	}
	var claims Claims
	_, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) { return v.key(ctx, t) })
	if err != nil {
		return Identity{}, classify(err)
	}
	return v.identify(claims)
}

// classify keeps ErrTokenExpired for tokens with no other fault: it invites the client to renew, which would not help.
func classify(err error) error {
	if errors.Is(err, jwt.ErrTokenExpired) {
		others := []error{
			jwt.ErrTokenInvalidIssuer, jwt.ErrTokenInvalidAudience, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued,
			jwt.ErrTokenRequiredClaimMissing,
		}
		if !slices.ContainsFunc(others, func(other error) bool { return errors.Is(err, other) }) {
			return fmt.Errorf("%w: %w", ErrTokenExpired, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrTokenInvalid, err)
}

func (v *Verifier) identify(c Claims) (Identity, error) {
	if c.User == "" {
		return Identity{}, fmt.Errorf("%w: neither sub nor user_id", ErrTokenInvalid)
	}
	role, ok := v.cfg.Roles[strings.ToLower(c.Role)]
	if !ok {
		return Identity{}, fmt.Errorf("%w: %.64q", ErrRoleUnknown, c.Role)
	}
	return Identity{
		User: c.User, Role: role, TokenID: c.TokenID, IssuedAt: c.IssuedAt, ExpiresAt: c.ExpiresAt, Solicitudes: c.Solicitudes,
	}, nil
}

// key is called with an algorithm that is one of the configured ones. The HMAC secrets answer to HMAC alone, and
// published keys to their own algorithms alone, whatever the token's header says.
func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("critical header extensions are not understood")
	}
	if kid, ok := t.Header["kid"].(string); ok && len(kid) > maxKeyID {
		return nil, fmt.Errorf("kid is longer than %d bytes", maxKeyID)
	}
	alg := t.Method.Alg()
	if symmetric(familyOf(alg)) {
		return v.hmac, nil
	}
	if v.jwks == nil {
		return fitting(*v.pem.keys.Load(), alg), nil
	}
	return v.jwks.key(ctx, t)
}

func fitting(keys []crypto.PublicKey, alg string) jwt.VerificationKeySet {
	var set jwt.VerificationKeySet
	for _, key := range keys {
		if suits(key, alg) {
			set.Keys = append(set.Keys, key)
		}
	}
	return set
}

func (v *Verifier) logRefusal(ctx context.Context, err error) {
	if !v.refusals.Allow() {
		v.suppressed.Add(1)
		return
	}
	v.log.InfoContext(ctx, "token refused", "code", Code(err), "err", err, "suppressed", v.suppressed.Swap(0))
}

// Bearer returns the token of an Authorization header's value, or "".
func Bearer(authorization string) string {
	scheme, token, ok := strings.Cut(strings.TrimSpace(authorization), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
