// Package forward owns the hop of a session's requests from the node that they reach to the node that they belong to, so
// that a load balancer need not be sticky. It never answers for a session, and never takes anything of a request for an
// address: it asks whose a session is, and passes on to members of the cluster only, once.
package forward
