// Package dashboard is the operators' page: what it shows, who may see it, and how the figures of all nodes come together.
// It owns the key check of its visitors, a short history of this node's figures in memory, and the collecting of the
// other nodes' while somebody watches. It never talks to Redis, sockets or gossip itself: it is given functions. Neither
// the key nor the text of errors ever reaches a visitor or, of the key, a log.
package dashboard
