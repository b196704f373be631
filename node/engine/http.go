package engine

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// refusal is the answer to a request that cannot be served, as the reference implementation gives it.
type refusal struct {
	reason  string // for the figures
	status  int
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var (
	refuseTransport = refusal{"transport", http.StatusBadRequest, 0, "Transport unknown"}
	refuseSid       = refusal{"unknown_session", http.StatusBadRequest, 1, "Session ID unknown"}
	refuseMethod    = refusal{"method", http.StatusBadRequest, 2, "Bad handshake method"}
	refuseRequest   = refusal{"bad_request", http.StatusBadRequest, 3, "Bad request"}
	refuseOrigin    = refusal{"origin", http.StatusForbidden, 4, "Forbidden"}
	refuseProtocol  = refusal{"protocol", http.StatusBadRequest, 5, "Unsupported protocol version"}
	refuseSize      = refusal{"too_large", http.StatusRequestEntityTooLarge, 3, "Payload too large"}
	refuseStopped   = refusal{"stopped", http.StatusServiceUnavailable, 3, "Not serving"}
	refuseFull      = refusal{"full", http.StatusServiceUnavailable, 3, "Too many sessions"}
)

// refusedUpgrade counts requests whose connection could not become a WebSocket.
const refusedUpgrade = "upgrade"

func (s *Server) refuse(w http.ResponseWriter, why refusal) {
	s.refused.note(why.reason)
	body, _ := json.Marshal(why) //nolint:errchkjson // cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(why.status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// ServeHTTP serves every request of the protocol, whatever its path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		s.refuse(w, refuseStopped)
		return
	}
	defer s.children.Done()
	if r.ContentLength != 0 {
		// The HTTP server reads what is left of a body before it answers, for ever if none comes. It lifts the deadline for
		// the connection's next request. A writer without deadlines has no connection to wait for.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.StallTimeout))
	}
	if !s.cfg.AllowOrigin(r) {
		s.refuse(w, refuseOrigin)
		return
	}
	allowOrigin(w.Header(), r)
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		s.refuse(w, refuseRequest)
		return
	}
	if query.Has("sid") && query.Get("sid") != "" {
		s.serveSession(w, r, query)
		return
	}
	s.serveHandshake(w, r, query)
}

// allowOrigin lets a page of an allowed origin read the answer, and send what it has to.
func allowOrigin(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Add("Vary", "Origin")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Max-Age", "600")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", asked)
			h.Add("Vary", "Access-Control-Request-Headers")
		}
	}
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// serveHandshake begins a session.
func (s *Server) serveHandshake(w http.ResponseWriter, r *http.Request, query url.Values) {
	transport := query.Get("transport")
	switch {
	case transport != transportPolling && transport != transportWebSocket, wantsScripts(query):
		s.refuse(w, refuseTransport)
	case r.Method != http.MethodGet:
		s.refuse(w, refuseMethod)
	case (transport == transportWebSocket) != isUpgrade(r):
		s.refuse(w, refuseRequest)
	case !s.speaks(query.Get("EIO")):
		s.refuse(w, refuseProtocol)
	case !s.takePlace():
		w.Header().Set("Retry-After", "1")
		s.refuse(w, refuseFull)
	case transport == transportWebSocket:
		s.openWebSocket(w, r)
	default:
		s.openPolling(w, r)
	}
}

// serveSession serves a request of a session that there is.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, query url.Values) {
	transport := query.Get("transport")
	if transport != transportPolling && transport != transportWebSocket {
		s.refuse(w, refuseTransport)
		return
	}
	session := s.session(query.Get("sid"))
	switch {
	case session == nil:
		s.refuse(w, refuseSid)
	case query.Get("EIO") != session.revision():
		s.refuse(w, refuseProtocol)
	case isUpgrade(r) && transport == transportWebSocket:
		session.serveUpgrade(w, r)
	case session.Transport().Name() != transport:
		s.refuse(w, refuseRequest)
	case r.Method == http.MethodGet:
		session.servePoll(w, r)
	case r.Method == http.MethodPost:
		session.servePost(w, r)
	default:
		s.refuse(w, refuseRequest)
	}
}

// open makes a session of a request and announces it; nil if the server has ended meanwhile. What carries it is set
// before it is announced, and nothing is read before. The request has taken a place.
func (s *Server) open(r *http.Request, carry func(*Session)) *Session {
	session := &Session{id: s.ids.next(), server: s, remote: r.RemoteAddr, unannounced: true}
	session.request.Store(slimRequest(r))
	session.meet(r)
	session.alarm.session = session
	upgrades := []string{}
	carry(session)
	if session.ws == nil {
		upgrades = append(upgrades, transportWebSocket)
	}
	hello, _ := json.Marshal(struct { //nolint:errchkjson // cannot fail
		Sid          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{session.id, upgrades, s.cfg.PingInterval.Milliseconds(), s.cfg.PingTimeout.Milliseconds(), s.cfg.MaxPayload})
	session.queue.out = new(atomic.Uint64)
	session.queue.push(newFrame(packetOpen, hello), false)
	if !s.keep(session) {
		return nil
	}
	s.count.opened.Add(1)
	s.Emit("connection", session)
	session.begin()
	return session
}

// keptHeaders are what a session's handlers may want to know of its request.
var keptHeaders = []string{"Authorization", "Origin", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip"}

// slimRequest keeps of a request what outlives it: the rest holds on to the HTTP server's buffers.
func slimRequest(r *http.Request) *http.Request {
	slim := &http.Request{
		Method: r.Method, URL: r.URL, Host: r.Host, RequestURI: r.RequestURI, RemoteAddr: r.RemoteAddr,
		Header: make(http.Header, 2), TLS: r.TLS, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
	}
	for _, name := range keptHeaders {
		if values := r.Header.Values(name); len(values) > 0 {
			slim.Header[name] = slices.Clone(values) // theirs are parts of all the headers
		}
	}
	return slim
}
