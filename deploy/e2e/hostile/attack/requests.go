package attack

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// requestKinds are attacks by requests that belong to no session.
func requestKinds() []kind {
	return []kind{
		{"http-bad-sid", 4, (*assault).badSid},
		{"http-bad-query", 3, (*assault).badQuery},
		{"http-bad-method", 2, (*assault).badMethod},
		{"http-bad-upgrade", 2, (*assault).badUpgrade},
		{"http-bad-request", 3, (*assault).badRequest},
		{"http-headers", 2, (*assault).headers},
		{"http-pipeline", 1, (*assault).pipeline},
		{"http-mid-handshake", 3, (*assault).midHandshake},
		{"http-slow-headers", 1, (*assault).slowHeaders},
	}
}

// one picks from a list.
func one[T any](a *assault, list ...T) T { return list[a.rng.IntN(len(list))] }

// noise is random bytes.
func (a *assault) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(a.rng.Uint32())
	}
	return b
}

// word is random letters.
func (a *assault) word(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[a.rng.IntN(len(letters))]
	}
	return string(b)
}

func (a *assault) badSid() Outcome {
	sid := one(a, a.word(20), a.word(1), a.word(4000), "..%2f..%2fetc", "%00", "{teloo}:session:*", "%F0%9F%92%A9", "null", "__proto__",
		url.QueryEscape(string(a.noise(16))))
	sid = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(sid)
	switch a.rng.IntN(3) {
	case 0:
		return a.ask(request(http.MethodGet, pollPath+"&sid="+sid, "", ""))
	case 1:
		return a.ask(request(http.MethodPost, pollPath+"&sid="+sid, "", "40"))
	default:
		return a.ask(request(http.MethodGet, wsPath+"&sid="+sid, upgradeHeaders, ""))
	}
}

func (a *assault) badQuery() Outcome {
	return a.ask(request(http.MethodGet, "/socket.io/"+one(a,
		"?EIO=3&transport=polling", "?EIO=3&transport=websocket", "?EIO=44&transport=polling", "?EIO=&transport=polling", "?transport=polling",
		"?EIO=4", "?EIO=4&transport=", "?EIO=4&transport=flashsocket", "?EIO=4&transport=webtransport", "?EIO=4&transport=polling;x",
		"?EIO=4&EIO=3&transport=x&transport=polling", "?%zz", "?EIO=4&transport=__proto__", "", "../../admin", "?"+a.word(8000),
		"?EIO=4&transport=polling&j=0&b64=1"), "", ""))
}

func (a *assault) badMethod() Outcome {
	return a.ask(request(one(a, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodTrace, "BREW"),
		one(a, pollPath, wsPath), "", ""))
}

// badUpgrade asks for a WebSocket as nobody may.
func (a *assault) badUpgrade() Outcome {
	headers := one(a,
		strings.Replace(upgradeHeaders, "13", "8", 1), strings.Replace(upgradeHeaders, "Version: 13", "Version: 13, 8", 1),
		strings.Replace(upgradeHeaders, "websocket", "h2c", 1), strings.Replace(upgradeHeaders, "Connection: Upgrade", "Connection: close", 1),
		strings.Replace(upgradeHeaders, "dGhlIHNhbXBsZSBub25jZQ==", a.word(3), 1), strings.Replace(upgradeHeaders, "Sec-WebSocket-Key", "X-Key", 1),
		upgradeHeaders+"Sec-WebSocket-Extensions: permessage-deflate; "+a.word(2000)+"\r\n",
		upgradeHeaders+"Sec-WebSocket-Protocol: "+strings.Repeat("a,", 1000)+"a\r\n", "",
		upgradeHeaders+"Origin: https://evil.example\r\n")
	return a.ask(request(http.MethodGet, one(a, wsPath, pollPath), headers, ""))
}

// badRequest is no HTTP, or HTTP in which two readers could see different things.
func (a *assault) badRequest() Outcome {
	return a.ask(one(a,
		a.noise(200), []byte("GET / HTTP/0.9\r\n\r\n"), []byte("GET "+pollPath+" HTTP/1.1\r\n\r\n"), []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		[]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+string(a.noise(100))+"\r\n\r\n"),
		request(http.MethodGet, pollPath, "Host: other\r\n", ""), request(http.MethodGet, pollPath, "Bad Header: x\r\n", ""),
		request(http.MethodPost, pollPath, "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		request(http.MethodPost, pollPath, "Content-Length: 7\r\n", "40"),
		[]byte("POST "+pollPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n"),
		[]byte("POST "+pollPath+" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n"),
		[]byte("GET http://elsewhere.example"+pollPath+" HTTP/1.1\r\nHost: x\r\n\r\n")))
}

// headers are many, long, or claim to come from elsewhere.
func (a *assault) headers() Outcome {
	return a.ask(request(http.MethodGet, pollPath, one(a,
		strings.Repeat("X-"+a.word(8)+": "+a.word(20)+"\r\n", 1500), "Cookie: "+strings.Repeat(a.word(100), 900)+"\r\n",
		"Authorization: Bearer "+a.word(30_000)+"\r\n", "X-Forwarded-For: "+strings.Repeat("10.0.0.1,", 3000)+"x\r\n",
		"X-Forwarded-For: "+a.word(50)+"\r\nX-Real-Ip: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\n", "Expect: 100-continue\r\n",
		"Origin: "+a.word(2000)+"\r\n", "Origin: null\r\n", "Access-Control-Request-Headers: "+a.word(5000)+"\r\n"), ""))
}

// pipeline sends many handshakes before it reads an answer.
func (a *assault) pipeline() Outcome {
	l := a.dial()
	if l == nil {
		return Unreached
	}
	_ = l.send([]byte(strings.Repeat(string(request(http.MethodGet, pollPath, "", "")), 2+a.rng.IntN(30))))
	status, _ := l.answer()
	return l.outcomeOf(status)
}

func (a *assault) midHandshake() Outcome {
	l := a.dial()
	if l == nil {
		return Unreached
	}
	raw := request(http.MethodGet, one(a, wsPath, pollPath), upgradeHeaders, "")
	_ = l.send(raw[:a.rng.IntN(len(raw)+1)])
	return Kept
}

// slowHeaders sends a request a header at a time and never ends it.
func (a *assault) slowHeaders() Outcome {
	l := a.dial()
	if l == nil || l.send([]byte("GET "+pollPath+" HTTP/1.1\r\nHost: x\r\n")) != nil {
		return Unreached
	}
	return a.hold(func() error { return l.send(fmt.Appendf(nil, "X-%s: x\r\n", a.word(4))) })
}
