package adapter

import "strings"

// scanJSON returns the index behind the JSON value that begins at s[i], which encoding/json would accept as well; -1 if
// there is none, or it is nested deeper than depth. It is several times as fast, since it keeps no state of its own. s has
// to be UTF-8.
func scanJSON(s string, i, depth int) int {
	if i >= len(s) || depth == 0 {
		return -1
	}
	switch s[i] {
	case '"':
		return scanString(s, i)
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
		if i = scanJSON(s, i, depth); i < 0 {
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
	if i = scanString(s, i); i < 0 {
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

// scanString scans a string whose opening quote is s[i].
func scanString(s string, i int) int {
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
