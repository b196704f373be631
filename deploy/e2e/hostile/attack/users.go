package attack

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// userKinds are attacks of users with a valid token.
func userKinds() []kind {
	return []kind{
		{"user-subscribes", 3, (*assault).subscribes},
		{"user-pings", 3, (*assault).pings},
		{"user-refreshes", 2, (*assault).refreshes},
		{"user-floods", 1, (*assault).floods},
		{"user-comes-and-goes", 4, (*assault).comeAndGo},
		{"user-foreign-session", 2, (*assault).foreignSession},
		{"user-silent", 1, (*assault).silent},
	}
}

// flood sends events on a socket and says how that ended.
func (a *assault) flood(n int, event func(i int) string) Outcome {
	l := a.joined()
	if l == nil {
		return Unreached
	}
	var raw bytes.Buffer
	for i := range n {
		raw.Write(a.text(event(i)))
	}
	_ = l.send(raw.Bytes())
	return l.verdict()
}

func (a *assault) subscribes() Outcome {
	return a.flood(50+a.rng.IntN(400), func(i int) string {
		return fmt.Sprintf(`42%d["%ssubscribe_solicitud",{"solicitud_id":"H%d"}]`, i, one(a, "", "", "un"), a.rng.IntN(300))
	})
}

func (a *assault) pings() Outcome {
	return a.flood(100+a.rng.IntN(1000), func(i int) string { return one(a, `42["ping"]`, fmt.Sprintf(`42%d["ping"]`, i), `2`) })
}

func (a *assault) refreshes() Outcome {
	return a.flood(20+a.rng.IntN(200), func(i int) string {
		return fmt.Sprintf(`42%d["refresh_token",{"token":"%s"}]`, i, one(a, BadToken(a.rng), a.user(), a.word(2000)))
	})
}

// floods goes on at more than ten times what a socket may send.
func (a *assault) floods() Outcome {
	l := a.joined()
	if l == nil {
		return Unreached
	}
	burst := bytes.Repeat(a.text(`42["x"]`), 1000)
	return a.hold(func() error { return l.send(burst) })
}

// comeAndGo connects, asks for something and is gone before the answer.
func (a *assault) comeAndGo() Outcome {
	l := a.opened()
	if l == nil {
		return Unreached
	}
	raw := a.text(`40{"token":"` + a.user() + `"}`)
	for i := range a.rng.IntN(5) {
		raw = append(raw, a.text(fmt.Sprintf(`42%d["subscribe_solicitud",{"solicitud_id":"H%d"}]`, i, a.rng.IntN(50)))...)
	}
	_ = l.send(append(raw, one(a, nil, a.text("41"), a.frame(0x88, []byte{0x03, 0xe8}))...))
	return Kept
}

// foreignSession asks for sessions that are not its own.
func (a *assault) foreignSession() Outcome {
	l := a.opened()
	if l == nil {
		return Unreached
	}
	pid := one(a, a.word(20), a.word(4000), "*", "../x", `\u0000`, "{teloo}")
	offset := one(a, "0-0", "1-1", "99999999999999-0", "x", "", a.word(3000), "-1", "18446744073709551616-0")
	_ = l.send(a.text(fmt.Sprintf(`40{"token":"%s","pid":"%s","offset":"%s"}`, a.user(), pid, offset)))
	m, err := l.expect("40", "44")
	switch {
	case err != nil:
		return Closed
	case strings.HasPrefix(m, "44"):
		return Refused
	default:
		return Kept
	}
}

// silentBuffer is the receive buffer of who never reads, in bytes.
const silentBuffer = 4 << 10

// silent is a user who pings and never reads.
func (a *assault) silent() Outcome {
	l := dial(a.ctx, a.campaign.cfg.Addr, source(a.n), silentBuffer)
	if l == nil {
		return Unreached
	}
	a.links = append(a.links, l)
	if !l.upgrade(wsPath) || l.send(a.text(`40{"token":"`+a.user()+`"}`)) != nil {
		return Unreached
	}
	ping := append(a.text(`42["ping"]`), a.frame(0x89, a.noise(125))...)
	return a.hold(func() error { return l.send(ping) })
}

// BadToken is a token that no gateway may take: of another secret, without a signature, or nothing of the kind.
func BadToken(rng *rand.Rand) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	sign := func(text string) string {
		mac := hmac.New(sha256.New, fmt.Appendf(nil, "%d", rng.Uint64()))
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	claims := part(fmt.Sprintf(`{"sub":"evil%d","role":"admin","iat":978307200,"exp":4102444800}`, rng.IntN(1000)))
	switch rng.IntN(5) {
	case 0:
		return part(`{"alg":"none","typ":"JWT"}`) + "." + claims + "."
	case 1:
		return sign(part(`{"alg":"RS256","kid":"../../etc/passwd"}`) + "." + claims)
	case 2:
		return "not.a.token"
	default:
		return sign(part(`{"alg":"HS256","typ":"JWT"}`) + "." + claims)
	}
}
