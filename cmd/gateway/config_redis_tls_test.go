package main

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

type certificate struct{ cert, key string } // files

// writeCertificate makes one for 127.0.0.1 that vouches for itself.
func writeCertificate(t *testing.T) certificate {
	t.Helper()
	key := ecKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"redis.test"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	c := certificate{cert: filepath.Join(t.TempDir(), "cert.pem"), key: filepath.Join(t.TempDir(), "key.pem")}
	require.NoError(t, os.WriteFile(c.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return c
}

func TestRedisByTLS(t *testing.T) {
	ours, theirs := writeCertificate(t), writeCertificate(t)
	server := redistest.Start(t)
	for name, value := range map[string]string{
		"tls-cert-file": ours.cert, "tls-key-file": ours.key, "tls-ca-cert-file": ours.cert, "tls-auth-clients": "yes",
	} {
		require.NoError(t, server.Client().ConfigSet(t.Context(), name, value).Err())
	}
	port := freeTCPPort(t)
	require.NoError(t, server.Client().ConfigSet(t.Context(), "tls-port", port).Err())
	trusted := []string{"REDIS_CA_PATH=" + ours.cert, "REDIS_CERT_PATH=" + ours.cert, "REDIS_KEY_PATH=" + ours.key}
	for name, tc := range map[string]struct {
		environ []string
		fault   string // "": none; any: the server's, whose reason may be lost with the connection
	}{
		"trusted":               {trusted, ""},
		"by another name":       {append(trusted, "REDIS_TLS_SERVER_NAME=redis.test"), ""},
		"by a wrong name":       {append(trusted, "REDIS_TLS_SERVER_NAME=other.test"), "not other.test"},
		"nobody vouches for it": {trusted[1:], "unknown authority"},
		"another authority":     {append(trusted[1:], "REDIS_CA_PATH="+theirs.cert), "unknown authority"},
		"without a certificate": {trusted[:1], "any"},
		"a foreign certificate": {append(trusted[:1:1], "REDIS_CERT_PATH="+theirs.cert, "REDIS_KEY_PATH="+theirs.key), "any"},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, good(append([]string{"REDIS_URL=rediss://127.0.0.1:" + port}, tc.environ...)...)...)
			require.Empty(t, r.Faults)
			client := r.Config.newRedis(false)
			defer func() { require.NoError(t, client.Close()) }()
			err := client.Ping(t.Context()).Err()
			if tc.fault == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			if tc.fault != "any" {
				require.ErrorContains(t, err, tc.fault)
			}
		})
	}
}

func freeTCPPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}
