package streams

import (
	"strings"
	"time"
)

// Timing is when an event that was relayed passed which point.
type Timing struct {
	// ID is the event's; its first part is when it was added, in ms of Redis' clock.
	ID string
	// Added is that time, Occurred the event's occurred_at, zero if it gives none.
	Added, Occurred time.Time
	// Committed is when Redis' answer had come, by this node's clock.
	Committed time.Time
	// Waited is how long it was ready before it was committed: its turn had to come, and Redis to answer.
	Waited time.Duration
}

// Kinds of events are what their names begin with.
const (
	kindSolicitud = iota
	kindOferta
	kindEvaluacion
	kindNotificacion
	kinds
)

var kindNames = [kinds]string{"solicitud", "oferta", "evaluacion", "notificacion"}

func kindOf(event string) uint8 {
	for i, name := range kindNames {
		if strings.HasPrefix(event, name) {
			return uint8(i)
		}
	}
	return kindSolicitud // not of a checked event
}
