package forward

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Header marks a request that a node has passed on: "ms;address;proof", which are the time in Unix ms, the peer that
// the node had the request of, and an HMAC of both and of the request. No nonce: whoever captured a mark, between two
// nodes, captured the whole request with it, and could send the same to any node without one.
const Header = "X-Teloo-Hop"

// maxMark bounds a mark, in bytes: the longest address has a zone.
const maxMark = 160

var (
	errForged = errors.New("no node of the cluster made the mark")
	errStale  = errors.New("the mark is of another time")
)

// marker makes and checks marks. It is safe for concurrent use.
type marker struct {
	key []byte
	age time.Duration
}

func newMarker(secret []byte, age time.Duration) (*marker, error) {
	// A key of its own, so that nothing else which the secret protects can be had from marks.
	key, err := hkdf.Key(sha256.New, secret, nil, "teloo gateway hop", sha256.Size)
	return &marker{key: key, age: age}, err
}

// mark makes the mark of a request for uri, path and query, that peer has sent.
func (m *marker) mark(method, uri, peer string, now time.Time) string {
	claim := strconv.FormatInt(now.UnixMilli(), 10) + ";" + peer
	return claim + ";" + m.proof(method, uri, claim)
}

// proof is over parts none of which can hold a line break.
func (m *marker) proof(method, uri, claim string) string {
	mac := hmac.New(sha256.New, m.key)
	_, _ = io.WriteString(mac, method+"\n"+uri+"\n"+claim) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// check returns the peer that a marked request came of; errForged, or errStale.
func (m *marker) check(r *http.Request, marks []string, now time.Time) (netip.AddrPort, error) {
	if len(marks) != 1 || len(marks[0]) > maxMark {
		return netip.AddrPort{}, errForged
	}
	at := strings.LastIndexByte(marks[0], ';')
	if at < 0 {
		return netip.AddrPort{}, errForged
	}
	claim := marks[0][:at]
	if !hmac.Equal([]byte(marks[0][at+1:]), []byte(m.proof(r.Method, r.RequestURI, claim))) {
		return netip.AddrPort{}, errForged
	}
	ms, address, _ := strings.Cut(claim, ";")
	sent, err := strconv.ParseInt(ms, 10, 64)
	if err != nil {
		return netip.AddrPort{}, errForged
	}
	peer, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.AddrPort{}, errForged
	}
	if now.Sub(time.UnixMilli(sent)).Abs() > m.age {
		return netip.AddrPort{}, errStale
	}
	return peer, nil
}
