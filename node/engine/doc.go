// Package engine owns the Engine.IO sessions of a node: handshake, long-polling, WebSocket, upgrade, heartbeats and the
// queues to the clients. It implements the transports' side of the Socket.IO library (its engine.BaseServer and
// engine.Socket) and never knows of Socket.IO packets, rooms or users.
//
// A session's queue holds references to frames that many sessions share. A few writers take the sessions that have
// something to send, and hand all that waits to the kernel in one write that never blocks; a session whose client does
// not keep up waits by itself, and is closed when it is too far behind.
//
// The protocol is https://socket.io/docs/v4/engine-io-protocol/, revision 4, and if so configured 3; frames are RFC 6455.
package engine
