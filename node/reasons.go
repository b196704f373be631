package node

import (
	"errors"
	"maps"
	"strings"
	"sync"

	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/engine"
)

// ending is why this node ends a socket; the first that is noted counts.
type ending uint32

const (
	endedOtherwise ending = iota // by the client, the network or another node
	endedDrain
	endedGap
	endedExpired
	endedRevoked
	endedFlood
	endedSentAway
)

var endings = [...]string{
	endedDrain: "drain", endedGap: "gap", endedExpired: "token_expired", endedRevoked: "token_revoked", endedFlood: "event_flood",
	endedSentAway: "sent_away",
}

// libraryEndings are the reasons that the library and the transports give.
var libraryEndings = map[string]string{
	"client namespace disconnect": "client",
	"server namespace disconnect": "kicked",
	"forced server close":         "kicked",
	"forced close":                "kicked",
	"server shutting down":        "shutdown",
	"transport close":             "transport_close",
	"transport error":             "transport_error",
	"ping timeout":                "ping_timeout",
	"parse error":                 "parse_error",
}

const (
	endedSlow  = "slow_consumer"
	endedEarly = "early" // while its connect was being announced
	endedOther = "other"
)

// EndReasons lists what Stats.Ended counts by.
func EndReasons() []string {
	all := []string{endedSlow, endedEarly, endedOther}
	all = append(all, endings[endedDrain:]...)
	seen := map[string]bool{}
	for _, reason := range libraryEndings {
		if !seen[reason] {
			seen[reason] = true
			all = append(all, reason)
		}
	}
	return all
}

// RefusalReasons lists what Stats.RefusedBy counts by.
func RefusalReasons() []string {
	return []string{
		auth.Code(auth.ErrTokenMissing), auth.Code(auth.ErrTokenInvalid), auth.Code(auth.ErrTokenExpired), auth.Code(auth.ErrTokenRevoked),
		auth.Code(auth.ErrRoleUnknown), auth.Code(auth.ErrServerFull), auth.Code(auth.ErrRateLimited),
	}
}

// noteEnding notes why a socket is about to be ended.
func noteEnding(s *socket.Socket, why ending) {
	if sess, ok := s.Data().(*session); ok {
		sess.ending.CompareAndSwap(uint32(endedOtherwise), uint32(why))
	}
}

// endReason is why a session's socket has gone: as this node knows, else as the library says by args.
func (s *session) endReason(args []any) string {
	if why := ending(s.ending.Load()); why != endedOtherwise {
		return endings[why]
	}
	if len(args) == 0 {
		return endedEarly
	}
	if len(args) > 1 {
		if err, ok := args[1].(error); ok && errors.Is(err, engine.ErrSlowConsumer) {
			return endedSlow
		}
	}
	if given, ok := args[0].(string); ok {
		if reason, known := libraryEndings[strings.ToLower(given)]; known {
			return reason
		}
	}
	return endedOther
}

// tallies count by reason or role, of which there are few.
type tallies struct {
	mu sync.Mutex
	n  map[string]uint64 // mu
}

func (t *tallies) note(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[string]uint64)
	}
	t.n[reason]++
}

func (t *tallies) all() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.n)
}

// Group is sockets of one role and transport.
type Group struct{ Role, Transport string }

// Census counts the connected sockets. It looks at each of them: milliseconds for tens of thousands.
func (n *Node) Census() map[Group]int {
	count := make(map[Group]int)
	n.io.Sockets().Sockets().Range(func(_ socket.SocketId, s *socket.Socket) bool {
		if sess, ok := s.Data().(*session); ok {
			count[Group{sess.who().Role, transportOf(s)}]++
		}
		return true
	})
	return count
}
