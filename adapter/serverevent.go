package adapter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
)

var errNoServerEvent = errors.New("not a server-side event without an acknowledgement")

// serverEvent decodes a server-side event that came by the log, as @socket.io/redis-streams-emitter sends them; servers
// send theirs by pub/sub. Nobody could be answered.
func serverEvent(data string) (args []any, err error) {
	var body map[string]any
	if data[0] == '{' {
		err = json.Unmarshal([]byte(data), &body)
	} else {
		body, err = packedObject(data)
	}
	if err != nil {
		return nil, err
	}
	args, ok := body["packet"].([]any)
	if _, asks := body["requestId"]; !ok || asks {
		return nil, errNoServerEvent
	}
	return args, nil
}

func packedObject(text string) (map[string]any, error) {
	packed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	v, err := unpackMsgpack(packed, false)
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("not a map")
	}
	return fields, nil
}

// hear hands a server-side event of the log to the application, unless it is this server's own. It is decoded there: that
// takes as long as its sender likes, and clients must not wait for it.
func (a *nspAdapter) hear(e entry) {
	if e.uid == a.c.cfg.UID {
		return
	}
	a.c.inbox.queue(a.c.inbox.events, func() {
		args, err := serverEvent(e.told)
		if err != nil {
			a.c.badEntry(err)
			return
		}
		a.answerServerSideEmit(message{uid: e.uid, nsp: e.nsp, kind: e.kind, data: map[string]any{"packet": args}})
	})
}
