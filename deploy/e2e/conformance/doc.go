// Package conformance holds the Engine.IO v4 and Socket.IO v5 conformance suite and the tests of the life cycle that a
// Socket.IO server owes its clients, as black-box tests over TCP. One contract is served by three servers: the gateway's
// own engine and the library's engine, both under the library's Socket.IO, and Node's (peer.mjs); `-engine` chooses which is
// tested. `make conformance` runs it on two of them and lists what passed.
package conformance
