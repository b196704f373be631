package engine

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// A session id is 40 characters: which node it is of, chance, and a proof that a node of the cluster made it.
const (
	sidNode  = 6  // bytes of the node's name, hashed: 8 characters
	sidRand  = 15 // random bytes
	sidProof = 9  // bytes of the proof
	sidBytes = sidNode + sidRand + sidProof
)

// Tag is the part of a session id that stands for a node.
type Tag [sidNode]byte

// TagOf returns the tag of the node of that name.
func TagOf(node string) Tag {
	sum := sha256.Sum256([]byte(node))
	return Tag(sum[:sidNode])
}

type sidMaker struct {
	tag    Tag
	prefix string // of all ids of this node's
	secret []byte
}

func newSidMaker(node string, secret []byte) *sidMaker {
	if len(secret) == 0 {
		secret = make([]byte, sha256.Size)
		_, _ = rand.Read(secret) // never fails
	}
	// A key of its own, so that nothing else which the secret protects can be had from ids.
	key := sha256.Sum256(append([]byte("engine session id\n"), secret...))
	tag := TagOf(node)
	return &sidMaker{tag: tag, prefix: base64.RawURLEncoding.EncodeToString(tag[:]), secret: key[:]}
}

func (m *sidMaker) next() string {
	var raw [sidBytes]byte
	copy(raw[:], m.tag[:])
	_, _ = rand.Read(raw[sidNode : sidNode+sidRand]) // never fails
	copy(raw[sidNode+sidRand:], m.proof(raw[:sidNode+sidRand]))
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func (m *sidMaker) proof(of []byte) []byte {
	mac := hmac.New(sha256.New, m.secret)
	_, _ = mac.Write(of) // never fails
	return mac.Sum(nil)[:sidProof]
}

// owner tells whose session an id is of; false for one that no node of the cluster made.
func (m *sidMaker) owner(sid string) (Tag, bool) {
	var raw [sidBytes]byte
	if len(sid) != base64.RawURLEncoding.EncodedLen(sidBytes) {
		return Tag{}, false
	}
	// Line breaks are ignored by the decoder: an id with some is shorter.
	if n, err := base64.RawURLEncoding.Decode(raw[:], []byte(sid)); err != nil || n != sidBytes {
		return Tag{}, false
	}
	if !hmac.Equal(raw[sidNode+sidRand:], m.proof(raw[:sidNode+sidRand])) {
		return Tag{}, false
	}
	return Tag(raw[:sidNode]), true
}
