package node

import (
	"github.com/zishang520/socket.io/servers/socket/v3"

	"github.com/teloo/realtime-gateway/node/limits"
	"github.com/teloo/realtime-gateway/node/taskqueue"
)

// limitEvents bounds how many events of a socket are handled, known ones and others. Those over its rate are answered if
// their client waits for that, else it is told once a second. Who goes on and on is closed for good: it would only come
// back to do the same.
func (n *Node) limitEvents(s *socket.Socket) {
	events := n.deps.Limits.NewEvents()
	if events == nil {
		return
	}
	s.Use(func(event []any, next func(error)) {
		verdict := events.Allow()
		if verdict == limits.Pass {
			next(nil)
			return
		}
		if verdict == limits.Flood {
			n.log.Info("closing a socket that sends events without end", "sid", s.Id())
			taskqueue.Enqueue(s, func() {
				defer n.recovered("event_flood")
				n.closeForGood(s, errEventFlood)
			})
			return
		}
		if _, ack := splitAck(event); ack != nil || verdict == limits.Refuse {
			n.reply(s, ack, "", errRateLimited)
		}
	})
}

// closeForGood tells the client why and disconnects it, so that it does not reconnect by itself. Its session ends.
func (n *Node) closeForGood(s *socket.Socket, why error) {
	noteEnding(s, endedFlood)
	n.deps.Sessions.End(s)
	n.emit(s, "error", answerOf(why))
	s.Disconnect(true)
}
