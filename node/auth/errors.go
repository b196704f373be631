package auth

import "errors"

// The reasons for which a connection is refused. Each has a code for the client (see Code); wrapped errors carry the
// detail, which is for the log.
var (
	// ErrTokenMissing says that the connection brought no token.
	ErrTokenMissing = errors.New("token missing")
	// ErrTokenInvalid says that the token is malformed, of another algorithm, badly signed, not yet valid, for somebody
	// else, or without a usable user id; also that the keys to check it cannot be had.
	ErrTokenInvalid = errors.New("token invalid")
	// ErrTokenExpired says that nothing is wrong with the token but its age.
	ErrTokenExpired = errors.New("token expired")
	// ErrTokenRevoked says that the token was valid until somebody revoked it.
	ErrTokenRevoked = errors.New("token revoked")
	// ErrRoleUnknown says that the token is valid and its role is none of the configured ones.
	ErrRoleUnknown = errors.New("role unknown")
	// ErrUnavailable says that this node cannot take connections yet, since it has never read the revocations. Nothing is
	// known against the token; its code is that of ErrServerFull: try again.
	ErrUnavailable = errors.New("revocations unknown")
	// ErrServerFull says that the node holds as many connections as it may.
	ErrServerFull = errors.New("server full")
	// ErrRateLimited says that the client, or all of them, connect too fast.
	ErrRateLimited = errors.New("rate limited")
)

// Code returns what a refused client reads in connect_error's data.code. It is "" for nil and "token_invalid" for an error
// that is none of this package's.
func Code(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrTokenMissing):
		return "token_missing"
	case errors.Is(err, ErrTokenExpired):
		return "token_expired"
	case errors.Is(err, ErrTokenRevoked):
		return "token_revoked"
	case errors.Is(err, ErrRoleUnknown):
		return "role_unknown"
	case errors.Is(err, ErrServerFull), errors.Is(err, ErrUnavailable):
		return "server_full"
	case errors.Is(err, ErrRateLimited):
		return "rate_limited"
	default:
		return "token_invalid"
	}
}
