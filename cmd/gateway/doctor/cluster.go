package doctor

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/presence"
	"github.com/teloo/realtime-gateway/streams"
)

// Bounds of what is well.
const (
	lateEvent    = 5 * time.Second  // a pending event's age; it is usually settled within a second
	stuckEvent   = 30 * time.Second // by then it was reclaimed many times over
	orphanIdle   = 15 * time.Second // a consumer of a node that is gone; usually cleared away within a few seconds
	oddClock     = 2 * time.Second  // off Redis' clock; nodes' are read by the second
	wrongClock   = 10 * time.Second // by so much tokens expire and revocations begin at another time
	nodePatience = 3 * time.Second
)

// Cluster examines the nodes and what they share. All fields are required but Gossip.
type Cluster struct {
	// Presence and Condition read what the nodes keep in Redis, Time its clock.
	Presence  func(context.Context) (presence.Stats, error)
	Condition func(context.Context) (streams.Condition, error)
	Time      func(context.Context) (time.Time, error)
	// GossipPort is the port of the nodes' gossip; empty: there is none. Seeds are CLUSTER_SEEDS with their ports.
	GossipPort string
	Seeds      []string
}

// Checks are the examinations of the cluster.
func (c *Cluster) Checks() []Check {
	return []Check{
		{Name: "event stream", Run: c.stream},
		{Name: "stream consumers", Run: c.consumers},
		{Name: "dead letters", Run: c.dead},
		{Name: "nodes", Run: c.nodes},
		{Name: "clocks", Run: c.clocks},
		{Name: "gossip", Run: c.gossip},
	}
}

func (c *Cluster) stream(ctx context.Context) []Finding {
	condition, err := c.Condition(ctx)
	if err != nil {
		return unknown(err)
	}
	now, err := c.Time(ctx)
	if err != nil {
		return unknown(err)
	}
	if !condition.Grouped {
		return []Finding{warning("start a node", "no node has consumed it yet; it has %d entries", condition.Length)}
	}
	age := time.Duration(0)
	if at, ok := streams.TimeOf(condition.Oldest); ok {
		age = now.Sub(at).Round(time.Millisecond)
	}
	lag := strconv.FormatInt(condition.Lag, 10)
	if condition.Lag < 0 {
		lag = "an unknown number of"
	}
	const do = "look at the nodes' health and logs: a consumer may be stuck, or Redis slow"
	says := fmt.Sprintf("%s entries are not read, %d not settled, the oldest of those %v old", lag, condition.Pending, age)
	switch {
	case age > stuckEvent:
		return []Finding{failure(do, "%s", says)}
	case age > lateEvent, condition.Lag > 10_000:
		return []Finding{warning(do, "%s", says)}
	}
	return []Finding{ok("%s", says)}
}

func (c *Cluster) consumers(ctx context.Context) []Finding {
	condition, err := c.Condition(ctx)
	if err != nil {
		return unknown(err)
	}
	stats, err := c.Presence(ctx)
	if err != nil {
		return unknown(err)
	}
	var idle, holding []string
	for _, consumer := range condition.Consumers {
		alive := slices.ContainsFunc(stats.Nodes, func(n presence.NodeInfo) bool { return n.Identity == consumer.Name })
		switch {
		case alive || consumer.Idle < orphanIdle:
		case consumer.Pending > 0:
			holding = append(holding, consumer.Name)
		default:
			idle = append(idle, consumer.Name)
		}
	}
	switch {
	case len(holding) > 0 && len(stats.Nodes) > 0:
		return []Finding{failure("look at the nodes' logs: they should have taken those over", "nodes that are gone still hold entries: %s", some(holding))}
	case len(holding) > 0:
		return []Finding{warning("start a node, which takes them over", "nodes that are gone hold entries: %s", some(holding))}
	case len(idle) > 0:
		return []Finding{warning("the leading node deletes them; look at its log", "consumers of nodes that are gone: %s", some(idle))}
	}
	return []Finding{ok("%d, each of a live node or just gone", len(condition.Consumers))}
}

// some names the first few.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func (c *Cluster) dead(ctx context.Context) []Finding {
	condition, err := c.Condition(ctx)
	switch {
	case err != nil:
		return unknown(err)
	case condition.Dead > 0:
		return []Finding{warning("`gateway dead list`, then replay or drop them", "there are %d", condition.Dead)}
	}
	return []Finding{ok("none")}
}

// nodes asks each node whether it is ready, at the address it advertises.
func (c *Cluster) nodes(ctx context.Context) []Finding {
	stats, err := c.Presence(ctx)
	if err != nil {
		return unknown(err)
	}
	if len(stats.Nodes) == 0 {
		return []Finding{failure("start one: `gateway serve`", "no node is running on this Redis and prefix")}
	}
	versions := map[string]bool{}
	var found []Finding
	for _, n := range stats.Nodes {
		versions[n.Version] = true
		f := health(ctx, n)
		f.Name = "node " + n.Name
		found = append(found, f)
	}
	if len(versions) > 1 {
		found = append(found, warning("finish the deploy", "%d different versions are running", len(versions)))
	} else {
		found = append(found, ok("%d live, version %s", len(stats.Nodes), stats.Nodes[0].Version))
	}
	return found
}

func health(ctx context.Context, n presence.NodeInfo) Finding {
	const do = "run the doctor where the nodes are, or set their ADVERTISE_ADDR to what others reach them by"
	status, _, err := ask(ctx, n.Addr)
	switch {
	case err != nil:
		return warning(do, "%s does not answer: %v", n.Addr, err)
	case status == http.StatusServiceUnavailable:
		return failure("its /health/ready says why, unless it just drains", "%s is not ready", n.Addr)
	case status != http.StatusOK:
		return warning(do, "%s answers %d, so it may not be a gateway", n.Addr, status)
	}
	return ok("%s is ready, %d sockets", n.Addr, n.Connections)
}

// ask returns a node's status and what its clock showed.
func ask(ctx context.Context, addr string) (int, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, nodePatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/health/ready", nil)
	if err != nil {
		return 0, time.Time{}, err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return 0, time.Time{}, err
	}
	_ = answer.Body.Close()
	date, _ := http.ParseTime(answer.Header.Get("Date"))
	return answer.StatusCode, date, nil
}

// clocks compares this machine's clock, and each node's, with Redis'.
func (c *Cluster) clocks(ctx context.Context) []Finding {
	stats, err := c.Presence(ctx)
	if err != nil {
		return unknown(err)
	}
	sent := time.Now()
	redis, err := c.Time(ctx)
	if err != nil {
		return unknown(err)
	}
	here := sent.Add(time.Since(sent) / 2).Sub(redis) // what this clock is ahead by
	found := []Finding{skew("this machine's", here)}
	for _, n := range stats.Nodes {
		_, date, err := ask(ctx, n.Addr)
		if err != nil || date.IsZero() {
			continue // nodes has said so
		}
		// The header cuts to the second: half of one is the likeliest.
		ahead := date.Add(time.Second / 2).Sub(time.Now().Add(-here))
		if f := skew(n.Name+"'s", ahead); f.Status != OK {
			found = append(found, f)
		}
	}
	return found
}

func skew(whose string, ahead time.Duration) Finding {
	const do = "run chrony or another NTP client on that machine and on Redis'"
	says := fmt.Sprintf("%s is off Redis' by %v", whose, ahead.Abs().Round(time.Millisecond))
	switch {
	case ahead.Abs() > wrongClock:
		return failure(do, "%s: tokens and revocations are judged at another time there", says)
	case ahead.Abs() > oddClock:
		return warning(do, "%s", says)
	}
	return ok("%s", says)
}

// gossip connects to the seeds, and to each node's host at our own port. It cannot try UDP, which gossip needs as well,
// since a stranger's packets are not answered.
func (c *Cluster) gossip(ctx context.Context) []Finding {
	stats, err := c.Presence(ctx)
	switch {
	case err != nil:
		return unknown(err)
	case c.GossipPort == "" && len(stats.Nodes) > 1:
		return []Finding{warning("set CLUSTER_SEEDS and CLUSTER_SECRET", "there is none: the death of a node is noticed by its heartbeat only")}
	case c.GossipPort == "":
		return []Finding{ok("not in use")}
	}
	var reached int
	var silent []string
	try := slices.Clone(c.Seeds)
	for _, n := range stats.Nodes {
		if host, _, err := net.SplitHostPort(n.Addr); err == nil {
			try = append(try, net.JoinHostPort(host, c.GossipPort))
		}
	}
	slices.Sort(try)
	for _, addr := range slices.Compact(try) {
		ctx, cancel := context.WithTimeout(ctx, nodePatience)
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		cancel()
		if err != nil {
			silent = append(silent, addr)
			continue
		}
		_ = conn.Close()
		reached++
	}
	const do = "open the port for TCP and UDP between the nodes, and run the doctor where they are"
	switch {
	case reached == 0 && len(silent) > 0:
		return []Finding{failure(do, "not reached by TCP: %s", some(silent))}
	case len(silent) > 0:
		return []Finding{warning(do, "not reached by TCP: %s", some(silent))}
	}
	return []Finding{ok("%d addresses reached by TCP; UDP has to be open, too", reached)}
}
