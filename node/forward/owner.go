package forward

import (
	"bufio"
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// AskHeader is on what one node asks another of a session, "question;nonce;proof", and on the answer, which is a proof: the
// first is an HMAC of the question, the session's id and the nonce, the second one of the whole first.
const AskHeader = "X-Teloo-Hop-Ask"

// Questions.
const (
	// askProve is asked on each new connection before a request goes over it: is this the session's node?
	askProve = "prove"
	// askAnswer has the session's open poll answered, though there is nothing to say.
	askAnswer = "answer"
)

// maxAsk bounds AskHeader's value, in bytes.
const maxAsk = 128

var (
	// errForeign is of what listens at a node's address and is not that node.
	errForeign = errors.New("what answers is not the session's node")
	errChatty  = errors.New("more came than was asked for")
)

// asker asks nodes of their sessions, and proves what is answered. It is safe for concurrent use.
type asker struct{ key []byte }

func newAsker(secret []byte) (*asker, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, "teloo gateway hop's end", sha256.Size)
	return &asker{key: key}, err
}

// proof is over parts none of which can hold a line break.
func (a *asker) proof(question, sid, nonce string) string {
	mac := hmac.New(sha256.New, a.key)
	_, _ = io.WriteString(mac, question+"\n"+sid+"\n"+nonce) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ask makes a question of a session, and what has to be answered.
func (a *asker) ask(question, sid string) (value, answer string) {
	nonce := rand.Text()
	value = question + ";" + nonce + ";" + a.proof(question, sid, nonce)
	return value, a.proof("answered", sid, value)
}

// check returns the question and what proves its answer; errForged if no node of the cluster asks.
func (a *asker) check(values []string, sid string) (question, answer string, err error) {
	if len(values) != 1 || len(values[0]) > maxAsk {
		return "", "", errForged
	}
	parts := strings.Split(values[0], ";")
	if len(parts) != 3 || !hmac.Equal([]byte(parts[2]), []byte(a.proof(parts[0], sid, parts[1]))) {
		return "", "", errForged
	}
	return parts[0], a.proof("answered", sid, values[0]), nil
}

// asked answers another node's question. Only the session's node does: nobody can have another one answer for it.
func (f *Forwarder) asked(w http.ResponseWriter, r *http.Request, values []string) {
	sid := sessionOf(r.URL.RawQuery)
	question, answer, err := f.asker.check(values, sid)
	if err != nil || !f.deps.Sessions.Own(sid) {
		if err != nil {
			f.count.forged.Add(1)
		}
		http.Error(w, "not asked of this node", http.StatusMisdirectedRequest)
		return
	}
	if question == askAnswer && f.deps.Answer != nil {
		f.deps.Answer(sid)
	}
	w.Header().Set(AskHeader, answer)
	w.WriteHeader(http.StatusNoContent)
}

// target is the request that a connection is made for; it goes with the request's context, since the library dials.
type target struct{ path, sid string }

type targetKey struct{}

func targetOf(r *http.Request) target {
	return target{path: "/" + strings.TrimPrefix(r.URL.EscapedPath(), "/"), sid: sessionOf(r.URL.RawQuery)}
}

func aimed(ctx context.Context, r *http.Request) context.Context {
	return context.WithValue(ctx, targetKey{}, targetOf(r))
}

// connect makes a connection to a node, and has it prove that it is the session's: its address may be another's by now.
// Nothing of the request is sent before.
func (f *Forwarder) connect(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: f.cfg.DialTimeout}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	to, _ := ctx.Value(targetKey{}).(target)
	if err := f.proves(conn, address, to); err != nil {
		_ = conn.Close()
		if !errors.Is(err, errForeign) {
			err = &net.OpError{Op: "dial", Net: network, Addr: conn.RemoteAddr(), Err: err}
		}
		return nil, err
	}
	return &hop{Conn: conn, stall: f.cfg.StallTimeout}, nil
}

// proves asks on a connection that nothing has been sent over who is at its end.
func (f *Forwarder) proves(conn net.Conn, address string, to target) error {
	if err := conn.SetDeadline(time.Now().Add(f.cfg.DialTimeout)); err != nil {
		return err
	}
	value, answer := f.asker.ask(askProve, to.sid)
	_, err := fmt.Fprintf(conn, "HEAD %s?sid=%s HTTP/1.1\r\nHost: %s\r\n%s: %s\r\n\r\n", to.path, to.sid, address, AskHeader, value)
	if err != nil {
		return err
	}
	from := bufio.NewReader(io.LimitReader(conn, 16<<10))
	res, err := http.ReadResponse(from, &http.Request{Method: http.MethodHead})
	var lost net.Error
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &lost): // it may have stopped
		return err
	case err != nil:
		return errors.Join(errForeign, err)
	}
	_ = res.Body.Close() // of a HEAD, empty
	switch {
	case !hmac.Equal([]byte(res.Header.Get(AskHeader)), []byte(answer)):
		return errForeign
	case from.Buffered() > 0:
		return errors.Join(errForeign, errChatty)
	}
	return conn.SetDeadline(time.Time{})
}

// hop is a connection to another node, which is given up if that takes nothing for the time that stall is.
type hop struct {
	net.Conn
	stall time.Duration
}

// Write implements net.Conn.
func (h *hop) Write(p []byte) (int, error) {
	if err := h.SetWriteDeadline(time.Now().Add(h.stall)); err != nil {
		return 0, err
	}
	return h.Conn.Write(p)
}
