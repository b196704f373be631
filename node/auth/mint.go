package auth

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MintRequest describes a token to sign.
type MintRequest struct {
	// Algorithm is one of Config.Algorithms' names.
	Algorithm string
	// Secret signs HS algorithms, Key the others. Of a comma list, as ParseSecrets reads it, the first one signs.
	Secret []byte
	Key    crypto.Signer
	// User and Role are required.
	User, Role string
	// TTL is how long the token lives, more than 0.
	TTL time.Duration
	// Solicitudes, Issuer, Audience and KeyID (the kid header) are left out when empty.
	Solicitudes      []string
	Issuer, Audience string
	KeyID            string
	// TokenID is jti; empty: a random one.
	TokenID string
	// Now is when the token is issued; zero: now.
	Now time.Time
}

// Mint signs a token. It is for the command line, the demo and tests: the gateway itself issues none.
func Mint(r MintRequest) (string, error) {
	if err := r.validate(); err != nil {
		return "", fmt.Errorf("minting a token: %w", err)
	}
	if r.Now.IsZero() {
		r.Now = time.Now()
	}
	if r.TokenID == "" {
		r.TokenID = rand.Text()
	}
	claims := jwt.MapClaims{
		"sub": r.User, "role": r.Role, "jti": r.TokenID, "iat": r.Now.Unix(), "exp": r.Now.Add(r.TTL).Unix(),
	}
	if len(r.Solicitudes) > 0 {
		claims["solicitudes"] = r.Solicitudes
	}
	if r.Issuer != "" {
		claims["iss"] = r.Issuer
	}
	if r.Audience != "" {
		claims["aud"] = r.Audience
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(r.Algorithm), claims)
	if r.KeyID != "" {
		token.Header["kid"] = r.KeyID
	}
	if symmetric(familyOf(r.Algorithm)) {
		secrets, err := ParseSecrets(r.Secret)
		if err != nil {
			return "", fmt.Errorf("minting a token: %w", err)
		}
		return token.SignedString(secrets[0])
	}
	return token.SignedString(r.Key)
}

func (r MintRequest) validate() error {
	var faults []error
	switch family := familyOf(r.Algorithm); {
	case family == "":
		faults = append(faults, fmt.Errorf("algorithm %q is not known", r.Algorithm))
	case symmetric(family) && len(r.Secret) == 0:
		faults = append(faults, fmt.Errorf("%s needs a secret", r.Algorithm))
	case asymmetric(family) && (r.Key == nil || !suits(r.Key.Public(), r.Algorithm)):
		faults = append(faults, fmt.Errorf("%s needs a private key of its kind", r.Algorithm))
	}
	if !ValidID(r.User) {
		faults = append(faults, fmt.Errorf("user %.64q: want 1 to %d bytes without control characters", r.User, maxID))
	}
	if r.Role == "" {
		faults = append(faults, errors.New("no role"))
	}
	if r.TTL <= 0 {
		faults = append(faults, fmt.Errorf("time to live %s: want more than 0", r.TTL))
	}
	return errors.Join(faults...)
}
