package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func edgeOf(t *testing.T, address string) *Edge {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return &Edge{URL: u, Origins: []string{"https://app.example"}, HandshakeRate: 50, Token: "t", Idle: 200 * time.Millisecond}
}

// tlsServer has a certificate that is valid for so long.
func tlsServer(t *testing.T, left time.Duration) *Edge {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(left),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	e := edgeOf(t, s.URL)
	e.roots = x509.NewCertPool()
	e.roots.AddCert(cert)
	return e
}

func TestCertificates(t *testing.T) {
	const day = 24 * time.Hour
	requireFinding(t, found(t, tlsServer(t, 90*day+time.Hour).certificate), OK, "valid for 90 days")
	requireFinding(t, found(t, tlsServer(t, 10*day+time.Hour).certificate), Warning, "expires in 10 days")
	requireFinding(t, found(t, tlsServer(t, 2*day+time.Hour).certificate), Failure, "expires in 2 days")
	requireFinding(t, found(t, tlsServer(t, -time.Minute).certificate), Failure, "expired")
	stranger := tlsServer(t, 90*day)
	stranger.roots = nil
	requireFinding(t, found(t, stranger.certificate), Failure, "unknown authority")
	requireFinding(t, found(t, edgeOf(t, "https://127.0.0.1:1").certificate), Failure, "refused")
	requireFinding(t, found(t, edgeOf(t, "http://127.0.0.1:1").certificate), Warning, "not encrypted")
}

// What is there may be anything but a gateway.
func TestEdgeWithoutAGateway(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		says    string
	}{
		"nothing":  {http.NotFound, "answered 404"},
		"down":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "answered 503"},
		"a page":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "no Socket.IO server"},
		"no sid":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("0{}")) }, "no Socket.IO server"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x", http.StatusFound) }, "answered 302"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(tc.handler)
			defer s.Close()
			e := edgeOf(t, s.URL)
			requireFinding(t, found(t, e.sticky), Failure, tc.says)
			require.Equal(t, Failure, found(t, e.websocket).Status)
			requireFinding(t, found(t, e.addresses), Warning, "could not be examined")
			requireFinding(t, found(t, e.idleSocket), Warning, "could not be examined")
			requireFinding(t, found(t, e.idlePoll), Warning, "could not be examined")
		})
	}
	e := edgeOf(t, "http://127.0.0.1:1/")
	requireFinding(t, found(t, e.sticky), Failure, "connection refused")
	requireFinding(t, found(t, e.websocket), Failure, "connection refused")
	got := e.origins(t.Context())
	require.Len(t, got, 2)
	requireFinding(t, got[0], Failure, "https://app.example is refused")
	requireFinding(t, got[1], Warning, "could not be examined")
}

func TestEdgeThatIsNotExamined(t *testing.T) {
	e := edgeOf(t, "http://127.0.0.1:1")
	e.Token = ""
	requireFinding(t, found(t, e.idleSocket), Warning, "skipped: a client without a token")
	e.Idle = 0
	requireFinding(t, found(t, e.idlePoll), OK, "skipped, as asked")
	e.TrustedProxies = []string{"10.0.0.0/8"}
	requireFinding(t, found(t, e.addresses), OK, "1 networks")
	e.TrustedProxies = []string{"0.0.0.0/0"}
	requireFinding(t, found(t, e.addresses), Failure, "trusts everybody")
	e.TrustedProxies, e.HandshakeRate = nil, 0
	requireFinding(t, found(t, e.addresses), OK, "do not matter")
	e.Origins = []string{"*"}
	require.Empty(t, e.origin())
	requireFinding(t, found(t, e.origins), Warning, "any origin")
}
