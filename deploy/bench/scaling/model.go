package main

import (
	"fmt"
	"math"
	"strings"
)

// What one of each costs. Times are in µs of a core, sizes in bytes. deploy/SCALING.md says where each was measured,
// and which are assumed.
const (
	dataBytes  = 450 // an entry's data: an event of 350 bytes with its rooms and options
	entryBytes = 600 // an entry on its way to a node, with the other fields and the protocol
	entryKept  = 600 // an entry in Redis' memory

	perSocketBytes = 17_500
	nodeBytes      = 34e6 + 64<<20 // a node without sockets, its ring full
	perDelivery    = 31.2          // an event of one's own: read, handled, written to one socket
	perEntry       = 6.5           // an entry of the log for nobody here
	perConnect     = 294.0
	perIdleSecond  = 1.5 // a socket's heartbeats, a second

	redisPerRead      = 20.0   // one node's read, however many entries
	redisPerEntry     = 1.05   // an entry sent to one node
	redisPerCommit    = 17.0   // an event written to its stream, taken from there and put into the log
	redisPerConnect   = 40.0   // four commands
	redisPerNode      = 1600.0 // a node at rest, a second
	redisUserBytes    = 700    // session, presence
	redisSeenBytes    = 220    // an event_id that is remembered
	logSeconds        = 240    // twice the recovery window
	seenSeconds       = 600
	logMost           = 500_000
	readsMost         = 50 // a node's reads a second once Redis has no time for more: each then takes more
	gigabit           = 125e6
	redisCPUMost      = 0.7 // of its one thread
	redisOutMost      = 0.7 * 10 * gigabit
	nodeCPUMost       = 0.6
	connectsEachHour  = 2.0   // of a user, at peak
	eventsPerUserHour = 6.0   // at peak
	smallNode         = 7_000 // sockets that the chart's autoscaler aims at
)

// load is what a cluster has to carry.
type load struct {
	Users, Nodes int
	// Events are those a user gets in an hour.
	Events float64
}

func (l load) entries() float64 { return float64(l.Users) * l.Events / 3600 }

func (l load) connects() float64 { return float64(l.Users) * connectsEachHour / 3600 }

// need is what it takes: CPU in cores, memory in bytes, Out in bytes a second.
type need struct{ NodeCPU, NodeMemory, Reading, RedisCPU, RedisOut, RedisMemory float64 }

func (l load) need() need {
	nodes, entries := float64(l.Nodes), l.entries()
	sockets := float64(l.Users) / nodes
	reading := entries * perEntry / 1e6
	return need{
		Reading:    reading,
		NodeCPU:    reading + (entries/nodes*(perDelivery-perEntry)+l.connects()/nodes*perConnect+sockets*perIdleSecond)/1e6,
		NodeMemory: nodeBytes + sockets*perSocketBytes,
		RedisCPU:   sending(entries, nodes) + shared(l),
		RedisOut:   entries * entryBytes * nodes,
		RedisMemory: float64(l.Users)*redisUserBytes + min(entries*logSeconds, logMost)*entryKept +
			entries*seenSeconds*redisSeenBytes,
	}
}

// sending is what it costs Redis, in cores, to send entries to readers.
func sending(entries, readers float64) float64 {
	return readers * (min(entries, readsMost)*redisPerRead + entries*redisPerEntry) / 1e6
}

// eager is Redis' CPU, in cores, where each entry is committed and read alone, as it is while the thread has time for it;
// at 1 the reads begin to gather, so that more entries are carried all the same.
func (l load) eager() float64 {
	each := float64(l.Nodes) * (redisPerRead + redisPerEntry)
	return min(1, l.entries()*each/1e6+shared(l))
}

// first is the limit that is met first.
func (n need) first() string {
	of := map[string]float64{
		"Redis' thread": n.RedisCPU / redisCPUMost, "Redis' network": n.RedisOut / redisOutMost, "nodes' reading": n.Reading / nodeCPUMost,
	}
	most, name := 1.0, "none"
	for limit, share := range of {
		if share > most {
			most, name = share, limit
		}
	}
	return name
}

// nodesFor is how many nodes carry users at so many sockets each, with one to spare.
func nodesFor(users, sockets int) int { return (users+sockets-1)/sockets + 1 }

func sizesTable() string {
	var b strings.Builder
	b.WriteString("| users | sockets a node | nodes | cores in use on each | memory of each | Redis' thread, at least | reading singly | Redis sends | Redis' memory | limit met first |\n" +
		"|---|---|---|---|---|---|---|---|---|---|\n")
	for _, users := range []int{10_000, 100_000, 1_000_000, 5_000_000} {
		for _, sockets := range []int{smallNode, 50_000} {
			l := load{Users: users, Nodes: nodesFor(users, sockets), Events: eventsPerUserHour}
			n := l.need()
			fmt.Fprintf(&b, "| %s | %s | %d | %.2f | %s | %.0f %% | %.0f %% | %s | %s | %s |\n", count(users), count(sockets), l.Nodes,
				n.NodeCPU, size(n.NodeMemory), 100*n.RedisCPU, 100*l.eager(), rate(n.RedisOut), size(n.RedisMemory), n.first())
		}
	}
	return b.String()
}

// big is the cluster that the log's limits are looked at with.
func big(events float64) load { return load{Users: 5_000_000, Nodes: 100, Events: events} }

func logTable() string {
	var b strings.Builder
	b.WriteString("| events a user and hour | entries/s | Redis' thread, at least | reading singly | Redis sends | a node reads | which takes of a core | limit met first |\n|---|---|---|---|---|---|---|---|\n")
	for _, events := range []float64{0.5, 1, 2, 4, 6, 12, 30} {
		l := big(events)
		n := l.need()
		fmt.Fprintf(&b, "| %g | %.0f | %.0f %% | %.0f %% | %s | %s | %.0f %% | %s |\n",
			events, l.entries(), 100*n.RedisCPU, 100*l.eager(), rate(n.RedisOut), rate(l.entries()*entryBytes), 100*n.Reading, n.first())
	}
	fmt.Fprintf(&b, "\nWithout connects, and with the reads gathered, the thread is at %.0f %% with %.0f events/s to 100 nodes, %.0f to 50, or %.0f to 10.\n",
		100*redisCPUMost, carries(100), carries(50), carries(10))
	return b.String()
}

// carries is how many events a second, in whole hundreds, take Redis' thread to what it may.
func carries(nodes float64) float64 {
	fixed := nodes * (readsMost*redisPerRead + redisPerNode)
	return math.Floor((1e6*redisCPUMost-fixed)/(nodes*redisPerEntry+redisPerCommit)/100) * 100
}

// layout is a way to have the log read.
type layout struct {
	name string
	// busiest is the CPU, in cores, and what is sent by, the server of Redis that has the most to do; read is what a node
	// reads, in entries a second.
	busiest func(l load) (cpu, out float64)
	read    func(l load) float64
	order   string
}

// shared is what the master has to do besides sending the log, in cores.
func shared(l load) float64 {
	return (l.entries()*redisPerCommit + l.connects()*redisPerConnect + float64(l.Nodes)*redisPerNode) / 1e6
}

// replicas is the log read from n of them.
func replicas(n float64) layout {
	return layout{
		name: fmt.Sprintf("%.0f replicas to read from", n),
		busiest: func(l load) (float64, float64) {
			nodes := float64(l.Nodes) / n
			return max(sending(l.entries(), nodes)+shared(l), shared(l)+sending(l.entries(), n)), l.entries() * entryBytes * max(nodes, n)
		},
		read: load.entries, order: "one",
	}
}

var layouts = []layout{
	{"one log, as built", func(l load) (float64, float64) { n := l.need(); return n.RedisCPU, n.RedisOut }, load.entries, "one"},
	replicas(4),
	replicas(8),
	{"4 logs by the room's hash, a Redis each", func(l load) (float64, float64) {
		return sending(l.entries()/4, float64(l.Nodes)) + shared(l)/4, l.entries() / 4 * entryBytes * float64(l.Nodes)
	}, load.entries, "one in each log"},
	{"10 nodes read, and pass on to 9 each", func(l load) (float64, float64) {
		return sending(l.entries(), 10) + shared(l), l.entries() * entryBytes * 10
	}, load.entries, "one"},
	{"a log for each node, written where there are receivers (1.2 copies)", func(l load) (float64, float64) {
		const copies = 1.2
		return sending(l.entries()*copies/float64(l.Nodes), float64(l.Nodes)) + shared(l)*copies, l.entries() * copies * entryBytes
	}, func(l load) float64 { return l.entries() * 1.2 / float64(l.Nodes) }, "one for each node"},
}

func shardsTable() string {
	var b strings.Builder
	b.WriteString("| at 12 events a user and hour | busiest Redis' thread | it sends | a node's reading, of a core | order |\n|---|---|---|---|---|\n")
	l := big(12)
	for _, way := range layouts {
		cpu, out := way.busiest(l)
		fmt.Fprintf(&b, "| %s | %.0f %% | %s | %.0f %% | %s |\n", way.name, 100*cpu, rate(out), 100*way.read(l)*perEntry/1e6, way.order)
	}
	return b.String()
}

func count(n int) string {
	if n >= 1_000_000 {
		return fmt.Sprintf("%d M", n/1_000_000)
	}
	return fmt.Sprintf("%d,000", n/1000)
}

func size(bytes float64) string {
	if bytes >= 1e9 {
		return fmt.Sprintf("%.1f GB", bytes/1e9)
	}
	return fmt.Sprintf("%.0f MB", math.Ceil(bytes/1e6))
}

func rate(bytes float64) string {
	bits := 8 * bytes
	if bits >= 1e9 {
		return fmt.Sprintf("%.1f Gbit/s", bits/1e9)
	}
	return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
}
