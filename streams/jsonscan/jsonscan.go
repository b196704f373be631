// Package jsonscan checks JSON text and finds its parts where they are, without decoding it. What it accepts is what
// encoding/json accepts, several times as fast, since it keeps no state of its own. It never copies the text, and its
// functions are safe for concurrent use.
package jsonscan

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is how many arrays and objects may be nested, as in encoding/json.
const MaxDepth = 10_000

// Valid reports whether data is one JSON value in UTF-8.
func Valid(data []byte) bool {
	s := view(data)
	end := Value(s, scanSpace(s, 0), MaxDepth)
	return end >= 0 && scanSpace(s, end) == len(s) && utf8.Valid(data)
}

// Object reports whether data is one JSON object in UTF-8.
func Object(data []byte) bool {
	i := scanSpace(view(data), 0)
	return i < len(data) && data[i] == '{' && Valid(data)
}

// Members calls visit with each member of an object, in the text's order and as often as a name comes. The value is a
// part of data. It reports whether data is one JSON object; after a fault visit has been called with what precedes that.
func Members(data []byte, visit func(name string, value []byte)) bool {
	s := view(data)
	i := scanSpace(s, 0)
	if i >= len(s) || s[i] != '{' {
		return false
	}
	if i = scanSpace(s, i+1); i < len(s) && s[i] == '}' {
		return scanSpace(s, i+1) == len(s)
	}
	for {
		from := scanKey(s, i)
		if from < 0 {
			return false
		}
		name := s[i:from]
		if i = Value(s, from, MaxDepth-1); i < 0 {
			return false
		}
		visit(nameOf(name), data[from:i])
		if i = scanSpace(s, i); i >= len(s) || s[i] != ',' {
			return i < len(s) && s[i] == '}' && scanSpace(s, i+1) == len(s)
		}
		i = scanSpace(s, i+1)
	}
}

// nameOf is the name of a member, of which the text begins with its quoted form.
func nameOf(text string) string {
	text = text[:String(text, 0)]
	if strings.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1]
	}
	var name string
	_ = json.Unmarshal([]byte(text), &name) // cannot fail: it was scanned
	return name
}

// view is data as a string, for as long as that does not change.
func view(data []byte) string {
	return unsafe.String(unsafe.SliceData(data), len(data)) //nolint:gosec // read only
}

// Value returns the index behind the JSON value that begins at s[i]; -1 if there is none, or more than depth arrays and
// objects are nested in it. s has to be UTF-8.
func Value(s string, i, depth int) int {
	if i >= len(s) {
		return -1
	}
	switch s[i] {
	case '"':
		return String(s, i)
	case '{':
		return scanList(s, i+1, depth-1, '}')
	case '[':
		return scanList(s, i+1, depth-1, ']')
	case 't':
		return scanLiteral(s, i, "true")
	case 'f':
		return scanLiteral(s, i, "false")
	case 'n':
		return scanLiteral(s, i, "null")
	default:
		return scanNumber(s, i)
	}
}

// scanList scans behind the bracket of an array, or of an object, whose values have keys.
func scanList(s string, i, depth int, end byte) int {
	if depth < 0 {
		return -1
	}
	i = scanSpace(s, i)
	if i < len(s) && s[i] == end {
		return i + 1
	}
	for {
		if end == '}' {
			if i = scanKey(s, i); i < 0 {
				return -1
			}
		}
		if i = Value(s, i, depth); i < 0 {
			return -1
		}
		i = scanSpace(s, i)
		switch {
		case i >= len(s):
			return -1
		case s[i] == end:
			return i + 1
		case s[i] != ',':
			return -1
		}
		i = scanSpace(s, i+1)
	}
}

// scanKey scans a key, its colon and the space behind.
func scanKey(s string, i int) int {
	if i >= len(s) || s[i] != '"' {
		return -1
	}
	if i = String(s, i); i < 0 {
		return -1
	}
	i = scanSpace(s, i)
	if i >= len(s) || s[i] != ':' {
		return -1
	}
	return scanSpace(s, i+1)
}

func scanSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

func scanLiteral(s string, i int, literal string) int {
	if !strings.HasPrefix(s[i:], literal) {
		return -1
	}
	return i + len(literal)
}

// String is Value for a string, whose opening quote is s[i].
func String(s string, i int) int {
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = scanEscape(s, i+1); i < 0 {
				return -1
			}
		case c < ' ':
			return -1
		}
	}
	return -1
}

// scanEscape returns the index of the last byte of what follows a backslash.
func scanEscape(s string, i int) int {
	const digits = 4
	switch {
	case i >= len(s):
		return -1
	case s[i] != 'u':
		if strings.IndexByte(`"\/bfnrt`, s[i]) < 0 {
			return -1
		}
		return i
	case i+digits >= len(s):
		return -1
	}
	for _, c := range []byte(s[i+1 : i+1+digits]) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return -1
		}
	}
	return i + digits
}

func scanNumber(s string, i int) int {
	if s[i] == '-' {
		i++
	}
	if i < len(s) && s[i] == '0' {
		i++
	} else if i = scanDigits(s, i); i < 0 {
		return -1
	}
	if i < len(s) && s[i] == '.' {
		if i = scanDigits(s, i+1); i < 0 {
			return -1
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		return scanDigits(s, i)
	}
	return i
}

// scanDigits scans at least one digit.
func scanDigits(s string, i int) int {
	from := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	if i == from {
		return -1
	}
	return i
}
