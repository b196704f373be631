package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxID  = 128 // bytes
	idForm = "1 to 128 bytes of UTF-8, without control characters and U+FFFD"

	maxUnix = 253402300799 // the end of the year 9999
)

// fields says where a body's fields go: name → pointer. Names are matched exactly, unlike encoding/json's.
type fields map[string]any

// given are the fields that a body has.
type given map[string]json.RawMessage

func (g given) has(name string) bool { _, ok := g[name]; return ok }

// read reads a body that is one JSON object of these fields and nothing else. A name that stands twice counts as it
// stands last.
func (f fields) read(r *http.Request) (given, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	return f.decode(r, body)
}

// readOptional takes no body for an empty object.
func (f fields) readOptional(r *http.Request) (given, error) {
	body, err := readBody(r)
	if err != nil || len(body) == 0 {
		return nil, err
	}
	return f.decode(r, body)
}

func (f fields) decode(r *http.Request, body []byte) (given, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, errMediaType
	}
	var got given
	// Unmarshal refuses what follows the object. An array or a string is as malformed as half an object.
	if err := json.Unmarshal(body, &got); err != nil || got == nil || !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: the body is not a JSON object", errMalformed)
	}
	var strange []string
	for name, raw := range got {
		into, ok := f[name]
		switch {
		case !ok:
			strange = append(strange, fmt.Sprintf("%.64q is no field of this", name))
		case string(raw) == "null" || json.Unmarshal(raw, into) != nil:
			strange = append(strange, name+" is not of its type")
		}
	}
	if len(strange) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrInvalid, slices.Min(strange))
	}
	return got, nil
}

// readBody returns the body without the white space around it.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the body cannot be read", errMalformed)
	}
	return bytes.TrimSpace(body), nil
}

// noBody refuses what its sender seems to expect something of.
func noBody(r *http.Request) error {
	body, err := readBody(r)
	if err == nil && len(body) > 0 {
		err = fmt.Errorf("%w: no body belongs here", errMalformed)
	}
	return err
}

func pathID(r *http.Request, name string) (string, error) {
	id := r.PathValue(name)
	if !validID(id) {
		return "", fmt.Errorf("%w: %s in the path has not %s", ErrInvalid, name, idForm)
	}
	return id, nil
}

// validID is what node/auth takes for an id.
func validID(id string) bool {
	return id != "" && len(id) <= maxID && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError })
}

// moment is a time of 1970 to 9999: whole unix seconds, as in a token, or RFC 3339.
type moment struct {
	time.Time
	seconds bool   // it was given as seconds
	text    string // what was given otherwise
}

var errMoment = errors.New("not a time")

// UnmarshalJSON reads either form.
func (m *moment) UnmarshalJSON(raw []byte) error {
	if second, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		m.Time, m.seconds = time.Unix(second, 0), true
	} else {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		if err := m.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		m.text = text
	}
	if second := m.Unix(); second < 0 || second > maxUnix {
		return errMoment
	}
	return nil
}
