package main

import (
	"net/url"
	"slices"
	"strings"

	"github.com/teloo/realtime-gateway/node/auth"
)

// algorithms are those that JWT_ALGORITHM may name.
var algorithms = []string{
	"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// policies are those that SUBSCRIBE_POLICY may name.
var policies = []string{"any", "granted", "none"}

func (c Config) checkAccess(k *checker) {
	for i, a := range c.JWTAlgorithm {
		k.oneOf("JWT_ALGORITHM", a, algorithms...)
		if slices.Contains(c.JWTAlgorithm[:i], a) {
			k.faultf("JWT_ALGORITHM", "%s stands there twice", a)
		}
	}
	if len(c.JWTAlgorithm) == 0 {
		k.faultf("JWT_ALGORITHM", "the list is empty")
	}
	hs, asymmetric := c.algorithmKinds()
	_, secretFault := auth.ParseSecrets([]byte(c.JWTSecretKey))
	switch n := len(c.JWTSecretKey); {
	case hs && n == 0:
		k.faultf("JWT_SECRET_KEY", "is not set; %s needs it", strings.Join(c.JWTAlgorithm, ","))
	case hs && strings.HasPrefix(strings.TrimSpace(string(c.JWTSecretKey)), "-----BEGIN"):
		k.faultf("JWT_SECRET_KEY", "is a PEM key; that belongs in JWT_PUBLIC_KEY_PATH, with an RS, PS, ES or EdDSA algorithm")
	case hs && secretFault != nil:
		for fault := range strings.SplitSeq(secretFault.Error(), "\n") { // it joins them
			k.faultf("JWT_SECRET_KEY", "%s", fault)
		}
	case hs && c.production() && n < minSecret:
		k.faultf("JWT_SECRET_KEY", "has %d bytes; production needs %d or more", n, minSecret)
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
			k.faultf("SUBSCRIBE_POLICY", "says nothing of role %s", role)
		}
	}
}

func (c Config) checkPublicKey(k *checker) {
	switch {
	case c.JWTPublicKeyPath == "" && c.JWTJWKSURL == "":
		k.faultf("JWT_PUBLIC_KEY_PATH", "is not set, nor is JWT_JWKS_URL; %s needs one of them", strings.Join(c.JWTAlgorithm, ","))
	case c.JWTPublicKeyPath != "" && c.JWTJWKSURL != "":
		k.faultf("JWT_JWKS_URL", "is set, and JWT_PUBLIC_KEY_PATH too; only one of them can be the key")
	case c.JWTPublicKeyPath != "":
		c.checkKeyFile(k)
	default:
		u, err := url.Parse(c.JWTJWKSURL)
		switch {
		case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Hostname() == "":
			k.faultf("JWT_JWKS_URL", "is not an https:// URL")
		case u.User != nil:
			k.faultf("JWT_JWKS_URL", "holds a user or password, which is not supported")
		case c.production() && u.Scheme != "https":
			k.faultf("JWT_JWKS_URL", "is not https, which production needs: whoever can change the answer can make tokens")
		}
	}
}

// checkKeyFile has the verifier's package try the file.
func (c Config) checkKeyFile(k *checker) {
	cfg := auth.DefaultConfig()
	cfg.PublicKeyPath = c.JWTPublicKeyPath
	cfg.Algorithms = nil
	for _, a := range c.JWTAlgorithm {
		if !isHMAC(a) && slices.Contains(algorithms, a) && !slices.Contains(cfg.Algorithms, a) {
			cfg.Algorithms = append(cfg.Algorithms, a)
		}
	}
	if len(cfg.Algorithms) == 0 {
		return
	}
	if err := cfg.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			k.faultf("JWT_PUBLIC_KEY_PATH", "%s", strings.TrimPrefix(line, "public key "))
		}
	}
}

func isHMAC(algorithm string) bool { return strings.HasPrefix(algorithm, "HS") }

// algorithmKinds reports which kinds of keys JWT_ALGORITHM needs.
func (c Config) algorithmKinds() (hs, asymmetric bool) {
	for _, a := range c.JWTAlgorithm {
		hs = hs || isHMAC(a)
		asymmetric = asymmetric || !isHMAC(a) && slices.Contains(algorithms, a)
	}
	return hs, asymmetric
}
