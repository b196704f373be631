package main

import (
	"crypto"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/node/auth"
)

type tokenCmd struct {
	User        string        `help:"User id."                                                                     required:""`
	Role        string        `help:"Role, as JWT_ROLES names it."                                                 required:""`
	TTL         time.Duration `default:"1h"                                                                        help:"How long the token is valid."`
	Solicitudes []string      `help:"Solicitudes whose rooms the user may enter, comma-separated."                 placeholder:"ID"`
	Key         string        `help:"PEM file with the private key; without it JWT_SECRET_KEY signs."              placeholder:"FILE"                  type:"path"`
	Algorithm   string        `help:"Algorithm; the first of JWT_ALGORITHM that the key can sign for, if not set." placeholder:"NAME"`
	Issuer      string        `help:"Issuer; JWT_ISSUER if not set."                                               placeholder:"ISS"`
	Audience    string        `help:"Audience; JWT_AUDIENCE if not set."                                           placeholder:"AUD"`
}

// Run prints a signed token.
func (t *tokenCmd) Run(a *app) error {
	needs := []string{"JWT_ALGORITHM", "JWT_ROLES", "JWT_SECRET_KEY"}
	if t.Key != "" {
		needs = needs[:2]
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
	token, err := t.sign(c, &r)
	if err != nil {
		return err
	}
	if !slices.Contains(c.JWTAlgorithm, r.Algorithm) {
		a.warn("JWT_ALGORITHM does not list " + r.Algorithm + ", so a node with this configuration refuses the token")
	}
	_, err = fmt.Fprintln(a.stdout, token)
	return err
}

// sign signs with --key, else with JWT_SECRET_KEY, by --algorithm, else by the first algorithm that fits the key; it
// sets the request's key and algorithm.
func (t *tokenCmd) sign(c Config, r *auth.MintRequest) (string, error) {
	fallback := "HS256"
	if t.Key == "" {
		r.Secret = []byte(c.JWTSecretKey)
		if len(r.Secret) == 0 {
			v, _ := lookup("JWT_SECRET_KEY")
			return "", ConfigError{v.fault("is not set; give it, or a private key by --key")}
		}
	} else {
		var err error
		if r.Key, fallback, err = readPrivateKey(t.Key); err != nil {
			return "", fmt.Errorf("--key: %w", err)
		}
	}
	choice := []string{t.Algorithm}
	if t.Algorithm == "" {
		choice = append(slices.Clone(c.JWTAlgorithm), fallback)
	}
	var token string
	var err error
	for _, r.Algorithm = range choice {
		if token, err = auth.Mint(*r); err == nil {
			break
		}
	}
	return token, err
}

// readPrivateKey also returns the key's usual algorithm.
func readPrivateKey(path string) (crypto.Signer, string, error) {
	pem, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return nil, "", err
	}
	key, err := auth.ParseSigner(pem)
	if err != nil {
		return nil, "", err
	}
	algorithm, err := auth.SignerAlgorithm(key)
	return key, algorithm, err
}
