// Package gossip keeps the node's membership of the cluster over hashicorp/memberlist: who is there, whether a given
// process answers, and word of joins and deaths within a second or two. It also shares a cluster-wide rate of connects
// between the live nodes (Budget).
//
// It makes things fast and decides nothing: what is true of nodes stands in Redis, which this package never touches. It
// carries no events and no presence, and calls back from a goroutine of its own, never from memberlist's.
package gossip
