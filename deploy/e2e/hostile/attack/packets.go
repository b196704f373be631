package attack

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// packetAttacks are Socket.IO packets that no client should send, each with Engine.IO's 4 before it; all that one
// returns are sent at once.
func packetAttacks() map[string]func(a *assault) []string {
	return map[string]func(a *assault) []string{
		"bad-json": func(a *assault) []string {
			return []string{one(a, `42[`, `42{}`, `42"x"`, `42null`, `42[]`, `42[null]`, `42[1]`, `42[{}]`, `42["x",`, `42["\ud800"]`, `42["x"]garbage`,
				`42["x",1e999999]`, `42["x",`+strings.Repeat("9", 50_000)+`]`, `42["\u0000"]`, `4`, `47`, `4-1`, `4x`, `42`+a.word(500))}
		},
		"deep-nesting": func(a *assault) []string {
			n := 1000 + a.rng.IntN(48_000)
			return []string{one(a, `42["x",`+strings.Repeat("[", n)+strings.Repeat("]", n)+`]`, `42["x",`+strings.Repeat(`{"a":`, 15_000)+`1`+
				strings.Repeat("}", 15_000)+`]`, `42`+strings.Repeat("[", n), `40`+strings.Repeat(`{"a":`, 15_000))}
		},
		"huge-array": func(a *assault) []string {
			return []string{one(a, `42["x"`+strings.Repeat(",0", 45_000)+`]`, `42["x",[`+strings.Repeat("{},", 30_000)+`{}]]`,
				`42["subscribe_solicitud",{`+strings.Repeat(`"a":1,`, 15_000)+`"b":1}]`, `42["`+strings.Repeat("x", 95_000)+`"]`)}
		},
		"namespace": func(a *assault) []string {
			return repeat(1+a.rng.IntN(20), func() string {
				return one(a, `40/`+a.word(10)+`,{}`, `40/admin,`, `42/x,["y"]`, `41/`+a.word(5)+`,`, `40/`+a.word(3000)+`,`, `40/?token=x,`, `40/../,`, `40//,`,
					`40/__proto__,{"token":"x"}`)
			})
		},
		"connect-flood": func(a *assault) []string {
			return repeat(1+a.rng.IntN(100), func() string { return "40" + a.badAuth() })
		},
		"connect-twice": func(a *assault) []string {
			auth := `40{"token":"` + a.user() + `"}`
			return []string{auth, auth, `42["ping"]`, `40`, `41`, auth}
		},
		"disconnects": func(a *assault) []string {
			return repeat(100, func() string { return one(a, "41", "41/x,", "40", "41{}") })
		},
		"connect-error": func(a *assault) []string { return []string{one(a, `44{"message":"x"}`, `44"x"`, `44/x,{}`, `44`)} },
		"no-attachments": func(a *assault) []string {
			return []string{one(a, `450-["x"]`, `460-1[]`, `45-["x"]`, `45["x"]`, `4599999999-["x"]`, `45`)}
		},
		"placeholders": func(a *assault) []string { return a.placeholders() },
		"binary-then-text": func(*assault) []string {
			return []string{`451-["ping",{"_placeholder":true,"num":0}]`, `42["ping"]`, "2"}
		},
		"acks": func(a *assault) []string { return a.acks() },
		"prototype": func(a *assault) []string {
			key := one(a, "__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "$where")
			return []string{
				`42["` + key + `",{}]`, `42["subscribe_solicitud",{"` + key + `":{"solicitud_id":"1"}}]`,
				`421["subscribe_solicitud",{"solicitud_id":{"` + key + `":1}}]`, `422["subscribe_solicitud",{"solicitud_id":"` + key + `"}]`,
			}
		},
		"reserved-events": func(a *assault) []string {
			return []string{`42["` + one(a, "connect", "connect_error", "disconnect", "disconnecting", "error", "newListener", "removeListener", "connection",
				"connected", "pong", "sync", "user_joined", "token_expired") + `",{"x":1}]`}
		},
		"bad-ids": (*assault).badIDs,
		"engine": func(a *assault) []string {
			return repeat(50, func() string {
				return one(a, "0", "1x", "2probe", "3probe", "5", "6", "7", "b", "bAAAA", "3", "2"+a.word(100))
			})
		},
	}
}

// badIDs ask for rooms and tokens that nobody can have.
func (a *assault) badIDs() []string {
	return repeat(20, func() string {
		return `42` + strconv.Itoa(a.rng.IntN(100)) + `["` + one(a, "subscribe_solicitud", "unsubscribe_solicitud", "refresh_token") + `",` +
			one(a, `null`, `[]`, `{}`, `{"solicitud_id":null}`, `{"solicitud_id":1e400}`, `{"solicitud_id":-1}`, `{"solicitud_id":"*"}`,
				`{"solicitud_id":"{teloo}"}`, `{"solicitud_id":"../admin"}`, `{"solicitud_id":"a\u0000b"}`, `{"solicitud_id":["1"]}`,
				`{"solicitud_id":"`+a.word(5000)+`"}`, `{"solicitud_id":99999999999999999999999}`, `{"token":{"a":1}}`, `{"token":"`+a.word(20_000)+`"}`) + `]`
	})
}

func repeat(n int, one func() string) []string {
	var list []string
	for range n {
		list = append(list, one())
	}
	return list
}

// badAuth is the payload of a CONNECT that has to be refused.
func (a *assault) badAuth() string {
	return one(a, ``, `{}`, `null`, `[]`, `"x"`, `{"token":null}`, `{"token":1}`, `{"token":{"x":1}}`, `{"token":""}`, `{"token":"`+a.word(5000)+`"}`,
		`{"token":"`+BadToken(a.rng)+`"}`, `{"token":"`+BadToken(a.rng)+`","pid":"`+a.word(20)+`","offset":"1-1"}`,
		`{"__proto__":{"token":"x"}}`)
}

// placeholders are binary events whose attachments do not fit.
func (a *assault) placeholders() []string {
	num := one(a, "1", "-1", "99999999999", "1.5", `"0"`, "null", "0")
	return []string{
		fmt.Sprintf(`451-["%s",{"_placeholder":true,"num":%s}]`, one(a, "ping", "subscribe_solicitud", "x"), num), "\x00binary",
		`452-["x",` + strings.Repeat(`{"_placeholder":true,"num":0},`, 1000) + `0]`, "\x00one", "\x00two", "\x00three",
	}
}

// acks answer what was never asked, and ask for answers with odd ids.
func (a *assault) acks() []string {
	id := one(a, "18446744073709551616", "9223372036854775807", "9007199254740993", "0", "00000", strings.Repeat("7", 10_000), "-1")
	return []string{
		`43` + id + `[]`, `43` + id + `["x"]`, `42` + id + `["ping"]`, `43[]`, `461-` + id + `[{"_placeholder":true,"num":0}]`, "\x00x",
		`42` + id + `["` + a.word(5) + `"]`,
	}
}

// playPackets sends packets on a connection of nobody's or of a hostile user's, over WebSocket; those that begin with a
// zero byte are binary.
func (a *assault) playPackets(packets func(a *assault) []string) Outcome {
	l := a.openedOrJoined()
	if l == nil {
		return Unreached
	}
	var raw bytes.Buffer
	for _, p := range packets(a) {
		if binary, is := strings.CutPrefix(p, "\x00"); is {
			raw.Write(a.frame(0x82, []byte(binary)))
			continue
		}
		raw.Write(a.text(p))
	}
	_ = l.send(raw.Bytes())
	return l.verdict()
}
