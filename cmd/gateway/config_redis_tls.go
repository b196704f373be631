package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"os"
)

// redisTLS says whether connections to Redis, and to its sentinels, are encrypted.
func (c Config) redisTLS() bool {
	if c.RedisMode != redisSingle || c.RedisURL == "" {
		return c.RedisTLS
	}
	u, err := url.Parse(string(c.RedisURL))
	return c.RedisTLS || err == nil && u.Scheme == "rediss"
}

func (c Config) checkRedisTLS(k *checker) {
	if !c.redisTLS() {
		for _, set := range [][2]string{
			{"REDIS_TLS_SERVER_NAME", c.RedisTLSServerName},
			{"REDIS_CA_PATH", c.RedisCAPath},
			{"REDIS_CERT_PATH", c.RedisCertPath},
			{"REDIS_KEY_PATH", c.RedisKeyPath},
		} {
			if set[1] != "" {
				k.faultf(set[0], "is set, but TLS is not asked for; set REDIS_TLS=true, or a rediss:// URL")
			}
		}
		return
	}
	if c.RedisTLSServerName != "" && !isHost(c.RedisTLSServerName) {
		k.faultf("REDIS_TLS_SERVER_NAME", "%s is neither an IP address nor a host name", quote(c.RedisTLSServerName))
	}
	if c.RedisCAPath != "" {
		if _, err := authorities(c.RedisCAPath); err != nil {
			k.faultf("REDIS_CA_PATH", "%v", err)
		}
	}
	switch {
	case c.RedisCertPath == "" && c.RedisKeyPath != "":
		k.faultf("REDIS_CERT_PATH", "is not set, but REDIS_KEY_PATH is")
	case c.RedisCertPath != "" && c.RedisKeyPath == "":
		k.faultf("REDIS_KEY_PATH", "is not set, but REDIS_CERT_PATH is")
	case c.RedisCertPath != "":
		if _, err := tls.LoadX509KeyPair(c.RedisCertPath, c.RedisKeyPath); err != nil {
			k.faultf("REDIS_CERT_PATH", "with REDIS_KEY_PATH: %v", err)
		}
	}
}

// redisTLSConfig is for a configuration without faults. A file that is gone since refuses every server.
func (c Config) redisTLSConfig() *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.RedisTLSServerName}
	if c.RedisCAPath != "" {
		pool, err := authorities(c.RedisCAPath)
		if err != nil {
			pool = x509.NewCertPool()
		}
		t.RootCAs = pool
	}
	if c.RedisCertPath != "" {
		t.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.RedisCertPath, c.RedisKeyPath)
			return &pair, err
		}
	}
	return t
}

var errNoCertificate = errors.New("holds no certificate in PEM")

func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path) //nolint:gosec // named by the operator
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errNoCertificate
	}
	return pool, nil
}
