package adapter

import (
	"errors"
	"fmt"
	"maps"
)

// message is what nodes send each other by pub/sub: a request on the namespace's public channel, or an answer on the
// requester's own. As on the wire, what it holds depends on its type.
type message struct {
	uid, nsp  string
	kind      messageType
	requestID string // "" where no answer is wanted
	data      map[string]any
}

// pack encodes a message in the form of Node's ClusterAdapter.
func (m message) pack() ([]byte, error) {
	data := make(map[string]any, len(m.data)+1)
	maps.Copy(data, m.data)
	if m.requestID != "" {
		data["requestId"] = m.requestID
	}
	return packMsgpack(map[string]any{"uid": m.uid, "nsp": m.nsp, "type": int64(m.kind), "data": data})
}

func unpackMessage(payload []byte) (message, error) {
	v, err := unpackMsgpack(payload, false)
	if err != nil {
		return message{}, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return message{}, errors.New("message is not a map")
	}
	var m message
	m.uid, _ = fields["uid"].(string)
	m.nsp, _ = fields["nsp"].(string)
	if m.uid == "" || len(m.uid) > maxIdentity || m.nsp == "" || len(m.nsp) > maxNamespace {
		return message{}, errors.New("message without a usable uid and nsp")
	}
	kind, ok := fields["type"].(int64)
	if !ok {
		return message{}, errors.New("message without a type")
	}
	m.kind = messageType(kind)
	m.data, _ = fields["data"].(map[string]any)
	m.requestID, _ = m.data["requestId"].(string)
	if len(m.requestID) > maxIdentity {
		return message{}, fmt.Errorf("request id of %d bytes", len(m.requestID))
	}
	return m, nil
}

// publicChannel carries a namespace's requests to all nodes.
func publicChannel(prefix, nsp string) string { return prefix + "#" + nsp + "#" }

// privateChannel carries answers to one node.
func privateChannel(prefix, nsp, uid string) string { return prefix + "#" + nsp + "#" + uid + "#" }
