// Package limits bounds what one address, one user and one socket may ask of a node: handshakes a second, sockets at a
// time, events a second. It knows who a client behind proxies is, refuses handshakes before anything is done for them,
// and counts what it refuses.
//
// It never looks at tokens, keeps nothing outside this process, and writes to no socket.
package limits
