package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxID          = 128
	maxSolicitudes = 1000
	// maxTime is the end of the year 9999 in unix seconds: later times overflow somebody's arithmetic.
	maxTime = 253402300799
)

// ValidID says whether s may be a user, solicitud or token id: 1 to 128 bytes of valid UTF-8 without control characters
// and without U+FFFD, which stands where a decoder met broken text and makes different ids equal.
func ValidID(s string) bool {
	if s == "" || len(s) > maxID || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError })
}

// Claims are the claims of a token that the gateway reads. Names are matched exactly, so that a claim "Role" of an
// issuer that lets users choose some is not taken for "role".
type Claims struct {
	// User is sub or user_id, a string or an integer's digits.
	User string
	// Role is the role claim as it stands in the token.
	Role string
	// TokenID is jti, "" when absent.
	TokenID string
	Issuer  string
	// Audience holds aud, given as a string or a list.
	Audience []string
	// IssuedAt, NotBefore and ExpiresAt are zero when absent.
	IssuedAt, NotBefore, ExpiresAt time.Time
	// Solicitudes are those the token grants, at most 1,000.
	Solicitudes []string
}

var _ jwt.Claims = (*Claims)(nil)

// UnmarshalJSON reads a token's claims; the token's signature is somebody else's business.
func (c *Claims) UnmarshalJSON(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("claims are not UTF-8")
	}
	fields, err := members(raw)
	if err != nil {
		return err
	}
	var parsed Claims
	sub, errSub := idClaim(fields, "sub")
	id, errID := idClaim(fields, "user_id")
	errs := []error{errSub, errID}
	switch parsed.User = sub; {
	case sub == "":
		parsed.User = id
	case id != "" && id != sub:
		errs = append(errs, errors.New("sub and user_id differ"))
	}
	errs = append(
		errs,
		idInto(&parsed.TokenID, fields, "jti"),
		decode(&parsed.Role, fields, "role"),
		decode(&parsed.Issuer, fields, "iss"),
		listInto(&parsed.Audience, fields),
		timeInto(&parsed.IssuedAt, fields, "iat"),
		timeInto(&parsed.NotBefore, fields, "nbf"),
		timeInto(&parsed.ExpiresAt, fields, "exp"),
		idsInto(&parsed.Solicitudes, fields, "solicitudes"),
	)
	*c = parsed
	return errors.Join(errs...)
}

// members reads a JSON object and refuses one that says something twice: whoever else reads the token may take the first
// where the gateway takes the last. A null is one without members.
func members(raw []byte) (map[string]json.RawMessage, error) {
	errObject := errors.New("claims are not a JSON object")
	fields := map[string]json.RawMessage{}
	if string(bytes.TrimSpace(raw)) == "null" {
		return fields, nil
	}
	in := json.NewDecoder(bytes.NewReader(raw))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return nil, errObject
	}
	for in.More() {
		token, err := in.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, errObject
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return nil, errObject
		}
		if _, twice := fields[name]; twice {
			return nil, errors.New("a claim stands twice")
		}
		fields[name] = value
	}
	if _, err := in.Token(); err != nil { // the object's end
		return nil, errObject
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return nil, errObject
	}
	return fields, nil
}

// lookup returns a claim that is there; a null counts as absent.
func lookup(fields map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	raw, ok := fields[name]
	return raw, ok && string(raw) != "null"
}

// decode's error names the claim and never shows its value.
func decode(into any, fields map[string]json.RawMessage, name string) error {
	raw, ok := lookup(fields, name)
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("claim %s is of the wrong type", name)
	}
	return nil
}

func idClaim(fields map[string]json.RawMessage, name string) (string, error) {
	raw, ok := lookup(fields, name)
	if !ok {
		return "", nil
	}
	id, err := parseID(raw)
	if err != nil {
		return "", fmt.Errorf("claim %s: %w", name, err)
	}
	return id, nil
}

func idInto(into *string, fields map[string]json.RawMessage, name string) error {
	id, err := idClaim(fields, name)
	*into = id
	return err
}

// parseID takes a JSON string, or an integer digit for digit.
func parseID(raw json.RawMessage) (string, error) {
	var id string
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &id); err != nil {
			return "", errors.New("not a string")
		}
	} else {
		id = string(raw)
		if strings.TrimLeft(strings.TrimPrefix(id, "-"), "0123456789") != "" {
			return "", errors.New("neither a string nor an integer")
		}
	}
	if !ValidID(id) {
		return "", fmt.Errorf("want 1 to %d bytes without control characters", maxID)
	}
	return id, nil
}

func idsInto(into *[]string, fields map[string]json.RawMessage, name string) error {
	var raws []json.RawMessage
	if err := decode(&raws, fields, name); err != nil {
		return err
	}
	if len(raws) > maxSolicitudes {
		return fmt.Errorf("claim %s has more than %d elements", name, maxSolicitudes)
	}
	ids := make([]string, 0, len(raws))
	for _, raw := range raws {
		id, err := parseID(raw)
		if err != nil {
			return fmt.Errorf("claim %s: an element: %w", name, err)
		}
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		*into = ids
	}
	return nil
}

func listInto(into *[]string, fields map[string]json.RawMessage) error {
	raw, ok := lookup(fields, "aud")
	if !ok {
		return nil
	}
	if raw[0] != '"' {
		return decode(into, fields, "aud")
	}
	var one string
	if err := decode(&one, fields, "aud"); err != nil {
		return err
	}
	*into = []string{one}
	return nil
}

func timeInto(into *time.Time, fields map[string]json.RawMessage, name string) error {
	var seconds *float64
	if err := decode(&seconds, fields, name); err != nil || seconds == nil {
		return err
	}
	if *seconds < 0 || *seconds > maxTime {
		return fmt.Errorf("claim %s is no date", name)
	}
	whole, fraction := math.Modf(*seconds)
	*into = time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC()
	return nil
}

func numericDate(t time.Time) (*jwt.NumericDate, error) {
	if t.IsZero() {
		return nil, nil
	}
	return &jwt.NumericDate{Time: t}, nil
}

// GetExpirationTime returns exp; like the five below it is for the JWT library's validator.
func (c *Claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.ExpiresAt) }

// GetIssuedAt returns iat.
func (c *Claims) GetIssuedAt() (*jwt.NumericDate, error) { return numericDate(c.IssuedAt) }

// GetNotBefore returns nbf.
func (c *Claims) GetNotBefore() (*jwt.NumericDate, error) { return numericDate(c.NotBefore) }

// GetIssuer returns iss.
func (c *Claims) GetIssuer() (string, error) { return c.Issuer, nil }

// GetSubject returns the user.
func (c *Claims) GetSubject() (string, error) { return c.User, nil }

// GetAudience returns aud.
func (c *Claims) GetAudience() (jwt.ClaimStrings, error) { return c.Audience, nil }
