package attack

import (
	"fmt"
	"net/http"
	"strings"
)

// pollingKinds are attacks on sessions over long-polling.
func pollingKinds() []kind {
	return []kind{
		{"poll-bad-body", 5, (*assault).badBody},
		{"poll-huge-length", 2, (*assault).hugeLength},
		{"poll-huge-chunked", 1, (*assault).hugeChunked},
		{"poll-separators", 2, (*assault).separators},
		{"poll-overlap", 3, (*assault).overlap},
		{"poll-abandon", 2, (*assault).abandonPoll},
		{"poll-slow-body", 1, (*assault).slowBody},
	}
}

// post sends a body to a new session.
func (a *assault) post(body string) Outcome {
	l, path := a.polled()
	if l == nil {
		return Unreached
	}
	_ = l.send(request(http.MethodPost, path, "", body))
	status, _ := l.answer()
	return l.outcomeOf(status)
}

func (a *assault) badBody() Outcome {
	return a.post(one(a,
		"b"+a.word(100), "b====", "b", "bAAAA\x1eb!", "", "\x1e", "9", "x"+a.word(50), "4\xff\xfe", "4\xed\xa0\x80", "5", "6", "2probe", "3probe",
		"0{}", "1", "1\x1e40", "3"+strings.Repeat("\x1e3", 1000), "2"+strings.Repeat("\x1e2", 1000), string(a.noise(300)),
		"4"+strings.Repeat("[", 90_000), "40"+strings.Repeat("\x1e40", 500), "40\x1e41\x1e40", "42", "451-[\"x\"]\x1ebAAAA", "d=4%3A40"))
}

// hugeLength announces more than it may, and sends some of it.
func (a *assault) hugeLength() Outcome {
	l, path := a.polled()
	if l == nil {
		return Unreached
	}
	_ = l.send(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n4%s", path,
		one(a, int64(100_001), 1<<20, 1<<31, 1<<62), a.word(a.rng.IntN(5000))))
	status, _ := l.answer()
	return l.outcomeOf(status)
}

func (a *assault) hugeChunked() Outcome {
	l, path := a.polled()
	if l == nil {
		return Unreached
	}
	_ = l.send([]byte("POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"))
	size := one(a, 1, 1000, 16<<10)
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", size, strings.Repeat("4", size))
	for sent := 0; sent < 300_000 && a.ctx.Err() == nil; sent += max(size, 300) {
		if l.send(chunk) != nil {
			break
		}
	}
	status, _ := l.answer()
	return l.outcomeOf(status)
}

// separators are payloads of as many packets as their bytes allow.
func (a *assault) separators() Outcome {
	n := a.rng.IntN(50_000)
	return a.post(one(a, strings.Repeat("\x1e", n), "4"+strings.Repeat("\x1e4", n), "2"+strings.Repeat("\x1e", n), strings.Repeat("3\x1e", n)+"3"))
}

// overlap uses a session by two requests of a kind at once.
func (a *assault) overlap() Outcome {
	_, path := a.polled()
	first, second := a.dial(), a.dial()
	if path == "" || first == nil || second == nil {
		return Unreached
	}
	raw := request(http.MethodGet, path, "", "")
	if a.rng.IntN(2) == 0 {
		_ = first.send(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n40", path))
		raw = request(http.MethodPost, path, "", "40")
	} else {
		_ = first.send(raw)
	}
	_ = second.send(raw)
	status, _ := second.answer()
	return second.outcomeOf(status)
}

// abandonPoll leaves a session while its poll waits.
func (a *assault) abandonPoll() Outcome {
	l, path := a.polled()
	if l == nil {
		return Unreached
	}
	_ = l.send(request(http.MethodGet, path, "", ""))
	if a.rng.IntN(2) == 0 {
		return l.outcome(glance)
	}
	return Kept
}

// slowBody sends a body a byte at a time.
func (a *assault) slowBody() Outcome {
	l, path := a.polled()
	if l == nil {
		return Unreached
	}
	_ = l.send([]byte("POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n4"))
	return a.hold(func() error { return l.send([]byte("2")) })
}
