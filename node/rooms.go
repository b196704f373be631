package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/teloo/realtime-gateway/node/auth"
)

// maxRoom bounds a room's name from outside, in bytes: an id's 128 and a prefix.
const maxRoom = 160

// ErrBadID is an id that is not a string or integer of 1 to 128 bytes of UTF-8 without control characters.
var ErrBadID = errors.New("bad id")

// SolicitudRoom is the room of one solicitud.
func SolicitudRoom(id string) string { return "solicitud_" + id }

// UserRoom is the room of all sockets of one user.
func UserRoom(id string) string { return "user_" + id }

// validRoom reports whether an event may name room as its own.
func validRoom(room string) bool {
	kind, id, prefixed := strings.Cut(room, "_")
	return len(room) <= maxRoom && (auth.ValidID(room) || (prefixed && auth.ValidID(kind) && auth.ValidID(id)))
}

// parseID reads an id from JSON. Absent and null are "". An integer keeps all its digits.
func parseID(raw json.RawMessage) (string, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return "", nil
	}
	if raw[0] == '"' {
		s, ok := textOf(raw)
		if !ok || !auth.ValidID(s) {
			return "", ErrBadID
		}
		return s, nil
	}
	if !isInteger(raw) || !auth.ValidID(string(raw)) {
		return "", ErrBadID
	}
	return string(raw), nil
}

// textOf decodes a JSON string, mostly one without escapes.
func textOf(raw []byte) (s string, ok bool) {
	if end := len(raw) - 1; end > 0 && raw[end] == '"' && bytes.IndexByte(raw, '\\') < 0 && bytes.IndexByte(raw[1:], '"') == end-1 {
		return string(raw[1:end]), true
	}
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

func isInteger(raw []byte) bool {
	digits := bytes.TrimPrefix(raw, []byte("-"))
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) > 0
}

// fieldID reads the id in an object's field.
func fieldID(raw json.RawMessage, name string) (string, error) {
	id, err := parseID(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return id, nil
}
