package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

const (
	trialSessions = 6 // with three nodes, two in three requests go wrong without stickiness
	trialRounds   = 3 // each is a POST and a GET
	foreignOrigin = "https://gateway-doctor.invalid"

	soonExpires = 21 * 24 * time.Hour
	expiresNow  = 3 * 24 * time.Hour
)

// Edge examines the way that clients come in.
type Edge struct {
	// URL is the address that clients have, https or http; its path goes before /socket.io/.
	URL *url.URL
	// Origins are the pages' that may connect; "*" is any.
	Origins []string
	// Token lets a client in that only waits; empty: time-outs are not examined.
	Token string
	// Idle is how long that client waits; zero: time-outs are not examined.
	Idle time.Duration
	// TrustedProxies and HandshakeRate are the nodes' configuration.
	TrustedProxies []string
	HandshakeRate  int

	roots *x509.CertPool // nil: the system's
}

// Checks are the examinations of the edge.
func (e *Edge) Checks() []Check {
	checks := []Check{
		{Name: "certificate", Run: e.certificate},
		{Name: "sticky sessions", Run: e.sticky},
		{Name: "websocket", Run: e.websocket},
		{Name: "origins", Run: e.origins},
		{Name: "client addresses", Run: e.addresses},
	}
	return append(
		checks,
		Check{Name: "idle websocket", Run: e.idleSocket, Patience: e.Idle + patience},
		Check{Name: "idle polling", Run: e.idlePoll, Patience: e.Idle + patience},
	)
}

func (e *Edge) base() url.URL {
	u := *e.URL
	u.Path = strings.TrimSuffix(u.Path, "/") + "/socket.io/"
	return u
}

// origin is one that may connect, for requests as browsers send them.
func (e *Edge) origin() string {
	if len(e.Origins) == 0 || e.Origins[0] == "*" {
		return ""
	}
	return e.Origins[0]
}

func (e *Edge) certificate(ctx context.Context) []Finding {
	if e.URL.Scheme != "https" {
		return []Finding{warning("terminate TLS in front of the nodes", "%s is not encrypted: tokens can be read on the way", e.URL.Host)}
	}
	port := e.URL.Port()
	if port == "" {
		port = "443"
	}
	dialer := tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: e.roots}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(e.URL.Hostname(), port))
	if err != nil {
		return []Finding{failure("renew or replace the certificate, or reach the port", "%v", err)}
	}
	defer func() { _ = conn.Close() }()
	state := conn.(*tls.Conn).ConnectionState() //nolint:forcetypeassert // a tls.Dialer's
	left := time.Until(state.PeerCertificates[0].NotAfter)
	days := int(left.Hours() / 24)
	switch {
	case left < expiresNow:
		return []Finding{failure("renew it now", "expires in %d days", days)}
	case left < soonExpires:
		return []Finding{warning("see why it is not renewed by itself", "expires in %d days", days)}
	}
	return []Finding{ok("valid for %d days", days)}
}

// sticky has several polling sessions send request after request, each on a connection of its own.
func (e *Edge) sticky(ctx context.Context) []Finding {
	asked, lost := 0, 0
	nodes := map[string]bool{}
	cookie := ""
	for range trialSessions {
		p, err := newPoll(ctx, e.base(), e.origin())
		if err != nil {
			return []Finding{failure("see whether the load balancer has a node that is ready", "a polling handshake fails: %v", err)}
		}
		nodes[nodeOf(p.open.SID)] = true
		cookie = p.cookie
		a, l, err := tryRounds(ctx, p)
		asked, lost = asked+a, lost+l
		p.close(ctx)
		if err != nil {
			return []Finding{failure("look at the load balancer's log", "a session's request fails: %v", err)}
		}
	}
	switch {
	case lost > 0:
		return []Finding{failure(
			"have the nodes pass such requests on (gossip, CLUSTER_SECRET, FORWARD_POLLS), or the load balancer set a cookie (deploy/haproxy/haproxy.cfg shows how)",
			"%d of %d requests reached another node than their session's: long-polling clients cannot connect", lost, asked,
		)}
	case cookie != "":
		return []Finding{ok("kept by the cookie %s; %d sessions on %d nodes", cookie, trialSessions, len(nodes))}
	case len(nodes) > 1:
		return []Finding{ok("kept without a cookie, or passed on by the nodes; %d sessions on %d nodes", trialSessions, len(nodes))}
	}
	return []Finding{ok("all %d sessions were on one node: there is one, or the load balancer goes by the client's address", trialSessions)}
}

// tryRounds returns how many requests were sent, and how many of them to another node.
func tryRounds(ctx context.Context, p *poll) (asked, lost int, err error) {
	for range trialRounds {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			body := ""
			if method == http.MethodPost {
				body = packetConnect
			}
			_, _, err := p.send(ctx, method, body)
			asked++
			var answer *statusError
			switch {
			case errors.As(err, &answer) && answer.unknownSession():
				// The session is left alone: without its POST a GET to the right node would wait.
				return asked, lost + 1, nil
			case err != nil:
				return asked, lost, err
			}
		}
	}
	return asked, lost, nil
}

// nodeOf is the part of a session's id that tells its node.
func nodeOf(sid string) string {
	const length = 8
	return sid[:min(length, len(sid))]
}

func (e *Edge) websocket(ctx context.Context) []Finding {
	s, err := newSocket(ctx, e.base(), e.origin())
	var refused ws.StatusError
	switch {
	case errors.As(err, &refused):
		return []Finding{failure("have each proxy on the way pass the headers Upgrade and Connection on (HTTP/1.1)", "the upgrade is answered %d", int(refused))}
	case err != nil:
		return []Finding{failure("look at the proxies on the way", "%v", err)}
	}
	s.close()
	return []Finding{ok("the upgrade passes")}
}

func (e *Edge) origins(ctx context.Context) []Finding {
	if slices.Contains(e.Origins, "*") {
		return []Finding{warning("name the pages' origins in CORS_ORIGINS", "pages of any origin may connect")}
	}
	found := make([]Finding, 0, len(e.Origins)+1)
	for _, origin := range e.Origins {
		p, err := newPoll(ctx, e.base(), origin)
		if err != nil {
			found = append(found, failure("see that all nodes have the same CORS_ORIGINS, and that no proxy checks origins", "%s is refused: %v", origin, err))
			continue
		}
		p.close(ctx)
		if p.allows != origin {
			found = append(found, failure("see whether a proxy changes it", "%s gets Access-Control-Allow-Origin %q", origin, p.allows))
		}
	}
	p, err := newPoll(ctx, e.base(), foreignOrigin)
	var answer *statusError
	switch {
	case err == nil:
		p.close(ctx)
		found = append(found, failure("see whether a proxy removes the header Origin, or a node's CORS_ORIGINS is *", "a foreign origin may connect"))
	case !errors.As(err, &answer):
		return append(found, unknown(err)...)
	}
	if len(found) == 0 {
		found = append(found, ok("%d of CORS_ORIGINS may connect, a foreign one may not", len(e.Origins)))
	}
	return found
}

// addresses judges TRUSTED_PROXIES by whether there is a proxy.
func (e *Edge) addresses(ctx context.Context) []Finding {
	for _, p := range e.TrustedProxies {
		if strings.HasSuffix(p, "/0") {
			return []Finding{failure("name the proxies' own networks in TRUSTED_PROXIES", "%s trusts everybody, so anybody can make an address up", p)}
		}
	}
	if len(e.TrustedProxies) > 0 {
		return []Finding{ok("TRUSTED_PROXIES names %d networks", len(e.TrustedProxies))}
	}
	if e.HandshakeRate == 0 {
		return []Finding{ok("HANDSHAKE_RATE is 0, so they do not matter")}
	}
	sign := ""
	nodes := map[string]bool{}
	for range 2 * trialSessions {
		p, err := newPoll(ctx, e.base(), e.origin())
		if err != nil {
			return unknown(err)
		}
		// A proxy that takes turns must not send each handshake to the same node, and what comes between them to another.
		if rand.IntN(2) == 0 { //nolint:gosec // not a secret
			p.close(ctx)
		} else {
			defer p.close(ctx)
		}
		nodes[nodeOf(p.open.SID)] = true
		switch {
		case p.cookie != "":
			sign = "it sets the cookie " + p.cookie
		case len(nodes) > 1:
			sign = "several nodes answer"
		}
	}
	if sign == "" {
		return []Finding{ok("TRUSTED_PROXIES is empty, which is right if no proxy is on the way")}
	}
	return []Finding{warning("name the proxy in TRUSTED_PROXIES, and have it set X-Forwarded-For",
		"there is a proxy (%s), and all its clients share its own HANDSHAKE_RATE", sign)}
}

// skipped says why time-outs are not examined; nil: they are.
func (e *Edge) skipped() []Finding {
	switch {
	case e.Idle == 0:
		return []Finding{ok("skipped, as asked")}
	case e.Token == "":
		return []Finding{warning("set JWT_SECRET_KEY or --key, so that the doctor can sign a token", "skipped: a client without a token is not kept")}
	}
	return nil
}

// idleSocket is a client that only answers pings.
func (e *Edge) idleSocket(ctx context.Context) []Finding {
	if skipped := e.skipped(); skipped != nil {
		return skipped
	}
	s, err := newSocket(ctx, e.base(), e.origin())
	if err != nil {
		return unknown(err)
	}
	defer s.close()
	if err := s.write(connectPacket(e.Token)); err != nil {
		return unknown(err)
	}
	began := time.Now()
	_ = s.conn.SetDeadline(began.Add(e.Idle))
	pings := 0
	for {
		text, err := s.read()
		took := time.Since(began).Round(100 * time.Millisecond)
		var closed wsutil.ClosedError
		var network net.Error
		switch {
		case errors.As(err, &network) && network.Timeout():
			return []Finding{ok("lives after %v, with %d pings", took, pings)}
		case errors.As(err, &closed):
			return []Finding{failure("look at the node's log", "closed by the gateway after %v: %d %s", took, closed.Code, closed.Reason)}
		case err != nil:
			return []Finding{failure(e.longer("time-out for tunnels or WebSockets", s.open), "cut after %v, %d pings", took, pings)}
		case strings.HasPrefix(text, packetRefused):
			return []Finding{warning("sign with the nodes' key, issuer and audience", "the token is refused: %.100s", text[len(packetRefused):])}
		case text == packetPing:
			pings++
			_ = s.write(packetPong) // that fails if the next read does
		}
	}
}

func (e *Edge) longer(what string, o opening) string {
	return fmt.Sprintf("raise the %s of each proxy well over the ping interval (%v)", what, time.Duration(o.PingInterval)*time.Millisecond)
}

// idlePoll is a client whose long poll is answered by the next ping at the earliest.
func (e *Edge) idlePoll(ctx context.Context) []Finding {
	if skipped := e.skipped(); skipped != nil {
		return skipped
	}
	p, err := newPoll(ctx, e.base(), e.origin())
	if err != nil {
		return unknown(err)
	}
	defer p.close(ctx)
	var answer *statusError
	_, _, err = p.send(ctx, http.MethodPost, connectPacket(e.Token))
	if errors.As(err, &answer) && answer.unknownSession() {
		return []Finding{warning("see sticky sessions", "could not be examined: another node than the session's answered")}
	}
	if err != nil {
		return unknown(err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.Idle)
	defer cancel()
	for {
		began := time.Now()
		text, _, err := p.send(ctx, http.MethodGet, "")
		took := time.Since(began).Round(100 * time.Millisecond)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return []Finding{ok("a long poll waits for %v", took)}
		case err != nil:
			return []Finding{failure(e.longer("time-out for a server's answer", p.open), "a long poll ends after %v: %v", took, err)}
		}
		for packet := range strings.SplitSeq(text, separator) {
			if packet == packetPing {
				return []Finding{ok("a long poll waits for the ping, %v", took)}
			}
			if strings.HasPrefix(packet, packetRefused) {
				return []Finding{warning("sign with the nodes' key, issuer and audience", "the token is refused: %.100s", packet[len(packetRefused):])}
			}
		}
	}
}
