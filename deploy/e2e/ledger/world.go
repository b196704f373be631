package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// secret signs the tokens; a cluster that somebody else runs has its own.
var secret = "ledger-harness-secret-of-at-least-32-bytes"

// The roles as tokens name them; analysts and support are admins to the gateway.
var roleRooms = map[string]string{
	"admin": "admin", "analyst": "admin", "support": "admin", "advisor": "advisor", "client": "client",
}

// person is one client: a socket with a user, a role and what it subscribes to before the first event.
type person struct {
	id          int
	user, role  string
	polling     bool
	solicitudes []string
	claimed     bool // its grants are a claim of its token; else the Core API gives them in Redis
}

// rooms are those it is in for as long as it is connected.
func (p person) rooms() map[string]bool {
	rooms := map[string]bool{"user_" + p.user: true, roleRooms[p.role]: true}
	for _, s := range p.solicitudes {
		rooms["solicitud_"+s] = true
	}
	return rooms
}

// world is who and what the events are about.
type world struct {
	people      []person
	solicitudes []string
	advisors    []string
	clients     []string
}

// newWorld has n people: a tenth of admins, four of advisors, the rest clients. Every tenth shares the user of an
// earlier one, as a second tab does. Half of each role poll. Some ids are numbers, which events may write as such.
func newWorld(n int) *world {
	w := &world{}
	for i := range max(12, n/5) {
		w.solicitudes = append(w.solicitudes, mixed("s-", 1000, i))
	}
	for i := range n {
		w.people = append(w.people, w.newPerson(i))
	}
	return w
}

func (w *world) newPerson(i int) person {
	p := person{id: i, polling: (i/10)%2 == 0, claimed: i%4 < 2}
	tab := i >= 100 && i%10 == 9
	switch digit := i % 10; {
	case digit == 0:
		p.role = []string{"admin", "analyst", "support"}[(i/10)%3]
		p.user = mixed("jefa-", 7000, i)
		p.solicitudes = w.some(i, 1)
	case digit < 5:
		p.role = "advisor"
		p.user = mixed("asesor-", 8000, i)
		w.advisors = append(w.advisors, p.user)
		p.solicitudes = w.some(i, 3)
	default:
		p.role = "client"
		p.user = mixed("cliente-", 9000, i)
		if tab {
			p.user = mixed("cliente-", 9000, i-100)
		} else {
			w.clients = append(w.clients, p.user)
		}
		p.solicitudes = w.some(i, 2)
	}
	return p
}

func mixed(prefix string, base, i int) string {
	if i%3 == 0 {
		return strconv.Itoa(base*1000 + i)
	}
	return prefix + strconv.Itoa(i)
}

func (w *world) some(i, count int) []string {
	var chosen []string
	for k := range count {
		chosen = append(chosen, w.solicitudes[(i*7+k*5)%len(w.solicitudes)])
	}
	return chosen
}

// token is minted here rather than by the gateway, so that the two check each other.
func token(p person, life time.Duration) string {
	now := time.Now()
	claims := map[string]any{"sub": p.user, "role": p.role, "iat": now.Unix(), "exp": now.Add(life).Unix()}
	if p.claimed {
		claims["solicitudes"] = p.solicitudes
	}
	return sign(claims)
}

func sign(claims map[string]any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		panic(fmt.Sprintf("claims are plain: %v", err))
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(body)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
