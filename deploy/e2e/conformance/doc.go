// Package conformance holds the Engine.IO v4 conformance suite and the tests of the life cycle that a Socket.IO server
// owes its clients, as black-box tests over TCP. One contract is served by three servers: the gateway's own engine, the
// library's engine, and Node's engine.io (peer.mjs); `-engine` chooses which is tested.
package conformance
