// Package forward owns the hop of a session's requests from the node that they reach to the node that they belong to, so
// that a load balancer need not be sticky. It never answers for a session, and never takes anything of a request for an
// address: it asks whose a session is, and passes on to members of the cluster only, once.
//
// The cluster's secret proves both ends: a mark on each request that a node has passed it on, and an answered question on
// each connection that what listens at a node's address is the session's node. So an address that has become another
// program's gets nothing of a request and answers none. Answers bear no proof of their own: what could change them on the
// way reads and changes requests as well, since it is plain HTTP, as between the load balancer and the nodes. Where the
// network between the nodes is not trusted, it has to be encrypted below.
package forward
