// Package canary sends an event of a node's own through everything that an event passes on its way to a client, again and
// again, and knows when it last arrived: a node whose sockets hear nothing although events flow is found out by it.
//
// It owns neither streams nor sockets; it is given how to publish and how to listen. It never decides what becomes of a
// node that is deaf.
package canary
