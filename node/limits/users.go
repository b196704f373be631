package limits

import "sync"

// PerUser counts the live sockets of each user on this node. It is safe for concurrent use.
type PerUser struct {
	most int

	mu      sync.Mutex
	sockets map[string]int // mu; has no zeros
}

// NewPerUser allows each user that many sockets; nil, which allows any number, for 0.
func NewPerUser(most int) *PerUser {
	if most == 0 {
		return nil
	}
	return &PerUser{most: most, sockets: make(map[string]int)}
}

// Take takes one of user's places, if there is one left. release gives it back, once however often it is called.
func (p *PerUser) Take(user string) (release func(), ok bool) {
	if p == nil {
		return func() {}, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets[user] >= p.most {
		return func() {}, false
	}
	p.sockets[user]++
	return sync.OnceFunc(func() { p.giveBack(user) }), true
}

func (p *PerUser) giveBack(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets[user]--; p.sockets[user] == 0 {
		delete(p.sockets, user)
	}
}
