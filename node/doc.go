// Package node is what a browser talks to: the Socket.IO server of one gateway process, who may connect to it, the
// rooms each socket is in, and the answers to client events. It also holds the routing table, which says for each
// domain event which rooms it goes to.
//
// It never touches Redis and never delivers a domain event itself: the adapter does, from the log.
package node
