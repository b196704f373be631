package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
)

const (
	familyHMAC  = "HS"
	familyRSA   = "RS"
	familyPSS   = "PS"
	familyECDSA = "ES"
	familyEdDSA = "EdDSA"

	minRSABits   = 2048
	maxPEMBytes  = 1 << 20
	maxKeyNumber = 64 // of one file or set: a token without a key id is tried against each
)

var families = map[string]string{
	"HS256": familyHMAC, "HS384": familyHMAC, "HS512": familyHMAC,
	"RS256": familyRSA, "RS384": familyRSA, "RS512": familyRSA,
	"PS256": familyPSS, "PS384": familyPSS, "PS512": familyPSS,
	"ES256": familyECDSA, "ES384": familyECDSA, "ES512": familyECDSA,
	"EdDSA": familyEdDSA,
}

var curves = map[string]elliptic.Curve{
	"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521(),
}

func algorithms() []string          { return slices.Sorted(maps.Keys(families)) }
func familyOf(alg string) string    { return families[alg] }
func symmetric(family string) bool  { return family == familyHMAC }
func asymmetric(family string) bool { return family != "" && family != familyHMAC }
func suitsAny(key any, a []string) bool {
	return slices.ContainsFunc(a, func(alg string) bool { return suits(key, alg) })
}

// suits says whether key is the public key type of alg. Bytes suit nothing: the HMAC secret never passes here, so that
// no published key can be taken for one.
func suits(key any, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (familyOf(alg) == familyRSA || familyOf(alg) == familyPSS) && k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return curves[alg] != nil && k.Curve == curves[alg]
	case ed25519.PublicKey:
		return familyOf(alg) == familyEdDSA
	default:
		return false
	}
}

// loadPEM reads the public keys of a file. Each asymmetric algorithm needs one that suits it.
func loadPEM(path string, algs []string) ([]crypto.PublicKey, error) {
	raw, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("public key file: %w", err)
	}
	keys, err := parsePublicKeys(raw)
	if err != nil {
		return nil, fmt.Errorf("public key file %s: %w", path, err)
	}
	for _, alg := range algs {
		fits := func(k crypto.PublicKey) bool { return suits(k, alg) }
		if asymmetric(familyOf(alg)) && !slices.ContainsFunc(keys, fits) {
			err = errors.Join(err, fmt.Errorf("public key file %s: no key for %s (RSA from %d bits on, ECDSA on the algorithm's curve)", path, alg, minRSABits))
		}
	}
	return keys, err
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the operator's configuration
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxPEMBytes))
}

func parsePublicKeys(raw []byte) ([]crypto.PublicKey, error) {
	var keys []crypto.PublicKey
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			break
		}
		key, err := parsePublicKey(block)
		if err != nil {
			return nil, err
		}
		if keys = append(keys, key); len(keys) > maxKeyNumber {
			return nil, fmt.Errorf("more than %d keys", maxKeyNumber)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no PEM block: want -----BEGIN PUBLIC KEY----- or a certificate")
	}
	return keys, nil
}

func parsePublicKey(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return cert.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("a private key: the gateway needs, and should have, the public one only")
	default:
		return nil, fmt.Errorf("a PEM block of type %q: want PUBLIC KEY or CERTIFICATE", block.Type)
	}
}

// ParseSigner reads the first private key of a PEM text (PKCS#8, PKCS#1 or SEC 1, not encrypted) for Mint.
func ParseSigner(raw []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, raw = pem.Decode(raw); block == nil {
			return nil, errors.New("no private key: want -----BEGIN PRIVATE KEY-----")
		}
		switch block.Type {
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			signer, ok := key.(crypto.Signer)
			if !ok {
				return nil, fmt.Errorf("a private key of type %T cannot sign", key)
			}
			return signer, nil
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(block.Bytes)
		case "EC PARAMETERS":
			continue
		default:
			return nil, fmt.Errorf("a PEM block of type %q: want PRIVATE KEY, not encrypted", block.Type)
		}
	}
}

// SignerAlgorithm returns the usual algorithm of a private key: RS256, ES256, ES384, ES512 or EdDSA.
func SignerAlgorithm(key crypto.Signer) (string, error) {
	for _, alg := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		if key != nil && suits(key.Public(), alg) {
			return alg, nil
		}
	}
	return "", fmt.Errorf("no algorithm for a key of type %T", key)
}
