package auth

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Config says which tokens are accepted. The zero value accepts none; start from DefaultConfig.
type Config struct {
	// Algorithms are the JWS algorithms accepted, of HS256/384/512, RS…, PS…, ES…, EdDSA. Default: HS256. HMAC and
	// asymmetric ones may stand together only when each has its own key source.
	Algorithms []string
	// Secret is the key of the HS algorithms; it verifies nothing else. A comma list, as ParseSecrets reads it, is
	// several of them, each of which verifies, so that keys rotate without a logout. A secret that itself holds a comma
	// cannot be used.
	Secret []byte
	// PublicKeyPath is a PEM file with one or more public keys or certificates. Run looks every second whether it changed
	// and reads it again; while it is missing or broken, the keys it held stay in use.
	PublicKeyPath string
	// JWKSURL is an http(s) address of a JWK Set, instead of PublicKeyPath. Only asymmetric keys are taken from it.
	JWKSURL string
	// Issuer and Audience are what iss must be and aud must contain; empty: not checked.
	Issuer, Audience string
	// Leeway is what clocks may differ by, for exp, nbf and iat. 0 to 5 min. Default: 30 s.
	Leeway time.Duration
	// Roles maps the role claim, in lower case, to the gateway's role. Default: admin, analyst, support → admin;
	// advisor → advisor; client → client.
	Roles map[string]string
	// JWKSRefresh is how often the key set is read again. Default: 15 min.
	JWKSRefresh time.Duration
	// JWKSMinInterval is the least time between two reads caused by tokens with an unknown key id. Default: 10 s.
	JWKSMinInterval time.Duration
	// JWKSTimeout bounds one read of the key set, and so what a connection may wait for it. Default: 5 s.
	JWKSTimeout time.Duration
}

// DefaultConfig returns the defaults; keys have none.
func DefaultConfig() Config {
	return Config{
		Algorithms: []string{"HS256"},
		Leeway:     30 * time.Second,
		Roles: map[string]string{
			"admin": "admin", "analyst": "admin", "support": "admin", "advisor": "advisor", "client": "client",
		},
		JWKSRefresh:     15 * time.Minute,
		JWKSMinInterval: 10 * time.Second,
		JWKSTimeout:     5 * time.Second,
	}
}

const maxLeeway = 5 * time.Minute

var rolePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Validate returns all faults at once, or nil. It reads the file at PublicKeyPath and asks no network.
func (c Config) Validate() error {
	faults := []error{c.validateKeys()}
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		faults = append(faults, fmt.Errorf("leeway %s: want 0 to %s", c.Leeway, maxLeeway))
	}
	if len(c.Roles) == 0 {
		faults = append(faults, errors.New("no roles: want at least one, as admin=admin"))
	}
	for claim, role := range c.Roles {
		if claim != strings.ToLower(claim) || !ValidID(claim) {
			faults = append(faults, fmt.Errorf("role claim %q: want lower case, 1 to %d bytes", claim, maxID))
		}
		if !rolePattern.MatchString(role) {
			faults = append(faults, fmt.Errorf("role %q: want %s", role, rolePattern))
		}
	}
	return errors.Join(faults...)
}

func (c Config) validateKeys() error {
	faults := []error{c.validateAlgorithms()}
	if c.uses(symmetric) {
		_, err := ParseSecrets(c.Secret)
		faults = append(faults, err)
	}
	switch {
	case !c.uses(asymmetric):
	case c.PublicKeyPath == "" && c.JWKSURL == "":
		faults = append(faults, errors.New("RS, PS, ES and EdDSA algorithms need a public key file or a JWKS URL"))
	case c.PublicKeyPath != "" && c.JWKSURL != "":
		faults = append(faults, errors.New("public key file and JWKS URL: want one of the two"))
	case c.PublicKeyPath != "":
		_, err := loadPEM(c.PublicKeyPath, c.Algorithms)
		faults = append(faults, err)
	default:
		faults = append(faults, c.validateJWKS())
	}
	return errors.Join(faults...)
}

func (c Config) validateAlgorithms() error {
	var faults []error
	if len(c.Algorithms) == 0 {
		faults = append(faults, errors.New("no algorithm: want a list, as RS256,ES256"))
	}
	for i, alg := range c.Algorithms {
		if familyOf(alg) == "" {
			faults = append(faults, fmt.Errorf("algorithm %q: want one of %s", alg, strings.Join(algorithms(), ", ")))
		}
		if slices.Contains(c.Algorithms[:i], alg) {
			faults = append(faults, fmt.Errorf("algorithm %q stands twice", alg))
		}
	}
	return errors.Join(faults...)
}

func (c Config) validateJWKS() error {
	var faults []error
	u, err := url.Parse(c.JWKSURL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		// The address may hold credentials, so it isn't repeated.
		faults = append(faults, errors.New("JWKS URL: want as https://issuer.example/.well-known/jwks.json"))
	}
	for name, d := range map[string]time.Duration{
		"refresh": c.JWKSRefresh, "least interval": c.JWKSMinInterval, "timeout": c.JWKSTimeout,
	} {
		if d <= 0 {
			faults = append(faults, fmt.Errorf("JWKS %s %s: want more than 0", name, d))
		}
	}
	return errors.Join(faults...)
}

func (c Config) uses(kind func(family string) bool) bool {
	return slices.ContainsFunc(c.Algorithms, func(alg string) bool { return kind(familyOf(alg)) })
}

// ParseRoles reads a table as "analyst=admin,client=client" into Config.Roles. Claims are folded to lower case.
func ParseRoles(table string) (map[string]string, error) {
	roles := map[string]string{}
	var faults []error
	for pair := range strings.SplitSeq(table, ",") {
		claim, role, ok := strings.Cut(strings.TrimSpace(pair), "=")
		claim, role = strings.ToLower(strings.TrimSpace(claim)), strings.TrimSpace(role)
		switch _, twice := roles[claim]; {
		case !ok || claim == "" || role == "":
			faults = append(faults, fmt.Errorf("role %q: want claim=role, as analyst=admin", pair))
		case twice:
			faults = append(faults, fmt.Errorf("role claim %q stands twice", claim))
		default:
			roles[claim] = role
		}
	}
	return roles, errors.Join(faults...)
}
