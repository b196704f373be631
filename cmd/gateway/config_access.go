package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// algorithms are those that JWT_ALGORITHM may name.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// policies are those that SUBSCRIBE_POLICY may name.
var policies = []string{"any", "granted", "none"}

func (c *Config) checkAccess(k *checker) {
	for _, a := range c.JWTAlgorithm {
		k.oneOf("JWT_ALGORITHM", a, algorithms...)
	}
	if len(c.JWTAlgorithm) == 0 {
		k.fault("JWT_ALGORITHM", "the list is empty")
	}
	hs, asymmetric := c.algorithmKinds()
	switch n := len(c.JWTSecretKey); {
	case hs && n == 0:
		k.fault("JWT_SECRET_KEY", "is not set; %s needs it", strings.Join(c.JWTAlgorithm, ","))
	case hs && c.production() && n < minSecret:
		k.fault("JWT_SECRET_KEY", "has %d bytes; production needs %d or more", n, minSecret)
	}
	if asymmetric {
		c.checkPublicKey(k)
	}
	for _, name := range sortedKeys(c.JWTRoles) {
		k.oneOf("JWT_ROLES", c.JWTRoles[name], roles...)
	}
	for _, role := range sortedKeys(c.SubscribePolicy) {
		k.oneOf("SUBSCRIBE_POLICY", role, roles...)
		k.oneOf("SUBSCRIBE_POLICY", c.SubscribePolicy[role], policies...)
	}
	for _, role := range roles {
		if _, ok := c.SubscribePolicy[role]; !ok {
			k.fault("SUBSCRIBE_POLICY", "says nothing of role %s", role)
		}
	}
}

func (c *Config) checkPublicKey(k *checker) {
	switch {
	case c.JWTPublicKeyPath == "" && c.JWTJWKSURL == "":
		k.fault("JWT_PUBLIC_KEY_PATH", "is not set, nor is JWT_JWKS_URL; %s needs one of them", strings.Join(c.JWTAlgorithm, ","))
	case c.JWTPublicKeyPath != "" && c.JWTJWKSURL != "":
		k.fault("JWT_JWKS_URL", "is set, and JWT_PUBLIC_KEY_PATH too; only one of them can be the key")
	case c.JWTPublicKeyPath != "":
		c.checkKeyFile(k)
	default:
		u, err := url.Parse(c.JWTJWKSURL)
		switch {
		case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "":
			k.fault("JWT_JWKS_URL", "is not an https:// URL")
		case u.User != nil:
			k.fault("JWT_JWKS_URL", "holds a user or password, which is not supported")
		case c.production() && u.Scheme != "https":
			k.fault("JWT_JWKS_URL", "is not https, which production needs: whoever can change the answer can make tokens")
		}
	}
}

func (c *Config) checkKeyFile(k *checker) {
	content, err := os.ReadFile(c.JWTPublicKeyPath)
	if err != nil {
		k.fault("JWT_PUBLIC_KEY_PATH", "%s cannot be read: %v", quote(c.JWTPublicKeyPath), errors.Unwrap(err))
		return
	}
	key, err := parsePublicKey(content)
	if err != nil {
		k.fault("JWT_PUBLIC_KEY_PATH", "%s holds no RSA, EC or Ed25519 public key in PEM", quote(c.JWTPublicKeyPath))
		return
	}
	for _, a := range c.JWTAlgorithm {
		if !isHMAC(a) && slices.Contains(algorithms, a) && !keyFits(a, key) {
			k.fault("JWT_PUBLIC_KEY_PATH", "%s holds %s, which is no key of %s", quote(c.JWTPublicKeyPath), describeKey(key), a)
		}
	}
}

func parsePublicKey(pem []byte) (crypto.PublicKey, error) {
	if key, err := jwt.ParseRSAPublicKeyFromPEM(pem); err == nil {
		return key, nil
	}
	if key, err := jwt.ParseECPublicKeyFromPEM(pem); err == nil {
		return key, nil
	}
	return jwt.ParseEdPublicKeyFromPEM(pem)
}

// keyFits reports whether a public key can check the algorithm's signatures.
func keyFits(algorithm string, key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return algorithm == ecAlgorithm(key)
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	default:
		return false
	}
}

// ecAlgorithm is the one algorithm of a curve.
func ecAlgorithm(key *ecdsa.PublicKey) string {
	return map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[key.Params().BitSize]
}

func describeKey(key crypto.PublicKey) string {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("an RSA key of %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "an EC key on " + key.Params().Name
	default:
		return "an Ed25519 key"
	}
}

func isHMAC(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

// algorithmKinds reports which kinds of keys JWT_ALGORITHM needs.
func (c *Config) algorithmKinds() (hs, asymmetric bool) {
	for _, a := range c.JWTAlgorithm {
		if isHMAC(a) {
			hs = true
		} else {
			asymmetric = true
		}
	}
	return hs, asymmetric
}
