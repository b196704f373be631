package streams

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what comes from outside.
const (
	// MaxDataBytes is the largest data of an event.
	MaxDataBytes = 64 << 10
	// MaxRooms is how many rooms one event may name.
	MaxRooms = 100
	// MaxPayloadBytes is the largest payload field.
	MaxPayloadBytes = 2 * MaxDataBytes

	maxIDBytes   = 128
	maxRoomBytes = 160 // an id with its kind before it
	maxSuffix    = 64
)

// validID tells whether s is 1 to 128 bytes of UTF-8 without control characters.
func validID(s string) bool { return len(s) <= maxIDBytes && validText(s) }

// validRoom tells whether s is 1 to 160 bytes of the same.
func validRoom(s string) bool { return len(s) <= maxRoomBytes && validText(s) }

func validText(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); {
		if b := s[i]; b < utf8.RuneSelf {
			if b < 0x20 || b == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) {
			return false
		}
		i += n
	}
	return true
}

// validName tells whether s is one of the four kinds, an underscore, and 1 to 64 of a-z, 0-9 and underscore.
func validName(s string) bool {
	kind, rest, found := strings.Cut(s, "_")
	if !found || rest == "" || len(rest) > maxSuffix {
		return false
	}
	switch kind {
	case "solicitud", "oferta", "evaluacion", "notificacion":
	default:
		return false
	}
	for i := range len(rest) {
		b := rest[i]
		if b != '_' && (b < '0' || b > '9') && (b < 'a' || b > 'z') {
			return false
		}
	}
	return true
}

// validTraceParent checks the W3C form version-trace-parent-flags.
func validTraceParent(s string) bool {
	const length = 55
	if len(s) != length || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" {
		return false
	}
	return isHex(s[:2]) && isHex(s[53:]) && isHex(s[3:35]) && isHex(s[36:52]) &&
		strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

func isHex(s string) bool {
	for i := range len(s) {
		if b := s[i]; (b < '0' || b > '9') && (b < 'a' || b > 'f') {
			return false
		}
	}
	return true
}
