package attack

import (
	"net/http"
	"strings"
)

// upgradeKinds are attacks on the change from polling to WebSocket.
func upgradeKinds() []kind {
	return []kind{{"upgrade-half", 4, (*assault).halfUpgrade}, {"upgrade-twice", 2, (*assault).upgradeTwice}}
}

func toWebSocket(path string) string { return strings.Replace(path, "polling", "websocket", 1) }

// halfUpgrade begins a change and goes on as nobody should.
func (a *assault) halfUpgrade() Outcome {
	poll, path := a.polled()
	ws := a.dial()
	if poll == nil || ws == nil || !ws.upgrade(toWebSocket(path)) {
		return Unreached
	}
	switch a.rng.IntN(7) {
	case 0: // says nothing
	case 1:
		_ = ws.send(a.text("5"))
	case 2:
		_ = ws.send(a.text(one(a, "2", "2prob", "3probe", "42[\"x\"]", "2probe"+a.word(50_000))))
	case 3:
		_ = ws.send(append(a.text("2probe"), a.text("2probe")...))
	case 4:
		_ = ws.send(append(a.text("2probe"), a.text("5")...))
		_ = poll.send(request(http.MethodPost, path, "", "40"))
	case 5:
		_ = ws.send(a.text("2probe"))
		_ = poll.send(request(http.MethodPost, path, "", "1"))
	default:
		_ = ws.send(a.frame(0x82, a.noise(30)))
	}
	return ws.verdict()
}

func (a *assault) upgradeTwice() Outcome {
	poll, path := a.polled()
	first, second := a.dial(), a.dial()
	if poll == nil || first == nil || second == nil || !first.upgrade(toWebSocket(path)) {
		return Unreached
	}
	_ = first.send(a.text("2probe"))
	_ = second.send(request(http.MethodGet, toWebSocket(path), upgradeHeaders, ""))
	status, _ := second.answer()
	return second.outcomeOf(status)
}
