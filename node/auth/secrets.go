package auth

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// minListedSecret is what an element of a list must have: a shorter one is more likely a secret with a comma in it.
	minListedSecret = 32
	// maxSecrets bounds the work that a forged token causes.
	maxSecrets = 8
)

// ParseSecrets reads Config.Secret: one secret, taken in bytes as it is, or several with commas between them, each of 32
// bytes or more and without the white space around it. So a secret that itself holds a comma cannot be used. At most 8.
// The error joins all faults and shows no secret.
func ParseSecrets(raw []byte) ([][]byte, error) {
	if len(raw) == 0 {
		return nil, errors.New("HS algorithms need a secret")
	}
	if !bytes.ContainsRune(raw, ',') {
		return [][]byte{bytes.Clone(raw)}, secretFault(raw)
	}
	secrets := bytes.Split(bytes.Clone(raw), []byte(","))
	if len(secrets) > maxSecrets {
		return nil, fmt.Errorf("%d secrets: want at most %d", len(secrets), maxSecrets)
	}
	var faults []error
	for i, secret := range secrets {
		secret = bytes.TrimSpace(secret)
		fault := secretFault(secret)
		switch n := len(secret); {
		case fault != nil:
		case n == 0:
			fault = errors.New("is empty")
		case n < minListedSecret:
			fault = fmt.Errorf("has %d bytes: want %d or more (a secret cannot hold a comma)", n, minListedSecret)
		case slices.ContainsFunc(secrets[:i], func(earlier []byte) bool { return bytes.Equal(earlier, secret) }):
			fault = errors.New("stands twice")
		}
		if fault != nil {
			faults = append(faults, fmt.Errorf("secret %d of %d: %w", i+1, len(secrets), fault))
		}
		secrets[i] = secret
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return secrets, nil
}

// secretFault refuses a PEM key as a secret: whoever configures one means RS or ES, and its public half, being public,
// would let anybody sign.
func secretFault(secret []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(secret), []byte("-----BEGIN")) {
		return errors.New("the secret is a PEM key: use a public key file and an RS, PS, ES or EdDSA algorithm")
	}
	return nil
}

// hmacKeys are the secrets in the form that the JWT library tries one by one.
func hmacKeys(raw []byte) (jwt.VerificationKeySet, error) {
	var set jwt.VerificationKeySet
	secrets, err := ParseSecrets(raw)
	for _, secret := range secrets {
		set.Keys = append(set.Keys, secret)
	}
	return set, err
}
