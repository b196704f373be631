package main

import (
	"crypto"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/teloo/realtime-gateway/node/auth"
)

type tokenCmd struct {
	User        string        `help:"User id."                                                                     required:""`
	Role        string        `help:"Role, as JWT_ROLES names it."                                                 required:""`
	TTL         time.Duration `default:"1h"                                                                        help:"How long the token is valid."`
	Solicitudes []string      `help:"Solicitudes whose rooms the user may enter, comma-separated."                 placeholder:"ID"`
	Key         string        `help:"PEM file with the private key; without it JWT_SECRET_KEY signs."              placeholder:"FILE" type:"path"`
	Algorithm   string        `help:"Algorithm; the first of JWT_ALGORITHM that the key can sign for, if not set." placeholder:"NAME"`
	Issuer      string        `help:"Issuer; JWT_ISSUER if not set."                                               placeholder:"ISS"`
	Audience    string        `help:"Audience; JWT_AUDIENCE if not set."                                           placeholder:"AUD"`
}

// Run prints a signed token.
func (t *tokenCmd) Run(a *app) error {
	needs := []string{"JWT_ALGORITHM", "JWT_ROLES"}
	if t.Key == "" {
		needs = append(needs, "JWT_SECRET_KEY")
	}
	c, err := a.config(needs...)
	if err != nil {
		return err
	}
	if t.TTL <= 0 {
		return fmt.Errorf("--ttl: %v is not more than 0", t.TTL)
	}
	if _, known := c.JWTRoles[strings.ToLower(t.Role)]; !known {
		return fmt.Errorf("--role: %s is none of %s", quote(t.Role), strings.Join(sortedKeys(c.JWTRoles), ", "))
	}
	r := auth.MintRequest{User: t.User, Role: t.Role, TTL: t.TTL, Solicitudes: t.Solicitudes, Issuer: t.Issuer, Audience: t.Audience}
	if r.Issuer == "" {
		r.Issuer = c.JWTIssuer
	}
	if r.Audience == "" {
		r.Audience = c.JWTAudience
	}
	if err := t.sign(c, &r); err != nil {
		return err
	}
	if !slices.Contains(c.JWTAlgorithm, r.Algorithm) {
		fmt.Fprintf(a.stderr, "gateway: warning: JWT_ALGORITHM does not list %s, so a node with this configuration refuses the token\n", r.Algorithm)
	}
	token, err := auth.Mint(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, token)
	return err
}

// sign sets the request's key and algorithm.
func (t *tokenCmd) sign(c Config, r *auth.MintRequest) error {
	fits := isHMAC
	if t.Key == "" {
		r.Secret = []byte(c.JWTSecretKey)
	} else {
		key, err := readPrivateKey(t.Key)
		if err != nil {
			return fmt.Errorf("--key: %w", err)
		}
		r.Key = key
		fits = func(algorithm string) bool { return keyFits(algorithm, key.Public()) }
	}
	for _, algorithm := range append([]string{t.Algorithm}, slices.Concat(c.JWTAlgorithm, list(algorithms))...) {
		if algorithm == "" {
			continue
		}
		if fits(algorithm) && slices.Contains(algorithms, algorithm) {
			r.Algorithm = algorithm
			break
		}
		if algorithm == t.Algorithm {
			return fmt.Errorf("--algorithm: the key does not sign %s", quote(algorithm))
		}
	}
	if t.Key == "" && len(r.Secret) == 0 {
		return Faults{mustLookup("JWT_SECRET_KEY").fault("is not set; give it, or a private key by --key")}
	}
	return nil
}

func readPrivateKey(path string) (crypto.Signer, error) {
	pem, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, err
	}
	if key, err := jwt.ParseRSAPrivateKeyFromPEM(pem); err == nil {
		return key, nil
	}
	if key, err := jwt.ParseECPrivateKeyFromPEM(pem); err == nil {
		return key, nil
	}
	if key, err := jwt.ParseEdPrivateKeyFromPEM(pem); err == nil {
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
	}
	return nil, errors.New("the file holds no RSA, EC or Ed25519 private key in PEM")
}
