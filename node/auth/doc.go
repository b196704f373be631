// Package auth decides who a connection is and what it may read: it verifies JSON Web Tokens, maps their roles, knows what
// was revoked, asks Redis for the grants of a solicitud, and states the subscription policy of each role. It also mints
// tokens for the command line, the demo and tests.
//
// It never talks to sockets and never puts a token or a key into a log line or an error. In Redis it writes revocations
// and grants that it is asked for, and removes what has expired.
//
// Whoever else revokes, as the Core API does, needs no code of this package: one transaction of plain commands, which
// nodes follow within a second. With the default prefix, for one token and for a user's tokens issued up to now:
//
//	MULTI
//	ZADD {teloo}:revoked GT <the token's exp in unix milliseconds> jti:<its jti>
//	INCR {teloo}:revoked:version
//	EXEC
//
//	MULTI
//	HSET {teloo}:revoked:before user:<user id> <unix seconds>
//	INCR {teloo}:revoked:version
//	EXEC
//
// The second refuses tokens whose iat is that second or earlier, and tokens without iat. It should only ever grow. A
// change that forgets to raise the version is found after half a minute.
//
// Nor does whoever grants or withdraws. A solicitud's id stands percent-escaped in its key, and as it is in the notice,
// by which nodes find the sockets to look at:
//
//	ZADD {teloo}:grants:<solicitud> <expiry in unix milliseconds> <user id>
//
//	MULTI
//	ZREM {teloo}:grants:<solicitud> <user id>
//	XADD {teloo}:withdrawn MAXLEN ~ 10000 * solicitud <solicitud> user <user id>
//	EXEC
package auth
