// Package auth decides who a connection is and what it may read: it verifies JSON Web Tokens, maps their roles, asks
// Redis for the grants of a solicitud, and states the subscription policy of each role. It also mints tokens for the
// command line, the demo and tests.
//
// It never talks to sockets, never writes to Redis, and never puts a token or a key into a log line or an error.
package auth
