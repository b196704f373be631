package conformance

import (
	"regexp"
	"strings"
	"time"

	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// Namespaces of the contract besides "/". Every other one is unknown.
const (
	customNamespace = "/custom"
	lockedNamespace = "/locked" // refuses everybody
)

var dynamicNamespaces = regexp.MustCompile(`^/dynamic-\d+$`)

// namespacesOf adds the contract's namespaces to io.
func namespacesOf(io *socket.Server) []socket.Namespace {
	return []socket.Namespace{io.Sockets(), io.Of(customNamespace, nil), io.Of(lockedNamespace, nil), io.Of(dynamicNamespaces, nil)}
}

// refusal is what the middleware says to a connect; nil if it may go on.
func refusal(s *socket.Socket) *socket.ExtendedError {
	auth := s.Handshake().Auth
	switch {
	case s.Nsp().Name() == lockedNamespace:
		return socket.NewExtendedError("locked", map[string]any{"code": "locked", "retry": []any{1, nil}})
	case auth["refuse"] == "with data":
		return socket.NewExtendedError("refused", map[string]any{"code": "no", "nested": map[string]any{"é": true}})
	case auth["refuse"] != nil:
		return socket.NewExtendedError("refused", nil)
	}
	return nil
}

// registerEvents registers the events of the contract:
//
//	auth                 → "auth", the CONNECT packet's payload
//	ask(...args), acked  → ack(...args); twice(…) acks twice, silent(…) never
//	later(x), acked      → ack(x) when "now" comes
//	question(...args)    → "question"(...args), asking for an ack; its answer → "answer"(...)
//	questions(n)         → n of them, with the args 0 to n-1; each answer → "answer"(i, ...)
//	impatient(ms)        → "question" with that timeout; without an answer → "answer"("timeout")
//	blobs(n, size)       → "blobs" with n attachments, the i-th of size bytes i
//	shout(...args)       → "shout"(...args) to everybody in the namespace
//	leave                → disconnect() of this namespace
func registerEvents(s *socket.Socket) {
	_ = s.On("auth", func(...any) { _ = s.Emit("auth", s.Handshake().Auth) })
	registerAcks(s)
	registerQuestions(s)
	_ = s.On("blobs", func(args ...any) {
		blobs := []any{}
		for i := range int(args[0].(float64)) {
			blobs = append(blobs, types.NewBytesBufferString(strings.Repeat(string(rune(i)), int(args[1].(float64)))))
		}
		_ = s.Emit("blobs", blobs...)
	})
	_ = s.On("shout", func(args ...any) { s.Nsp().Emit("shout", args...) })
	_ = s.On("leave", func(...any) { s.Disconnect(false) })
}

// acked calls fn with an event's arguments and what acknowledges it, if the client asked for that.
func acked(s *socket.Socket, event string, fn func(args []any, ack socket.Ack)) {
	_ = s.On(event, func(args ...any) {
		ack := func([]any, error) {}
		if n := len(args); n > 0 {
			if given, ok := args[n-1].(socket.Ack); ok {
				args, ack = args[:n-1], given
			}
		}
		fn(args, ack)
	})
}

func registerAcks(s *socket.Socket) {
	waiting := []func(){} // of the socket's queue
	acked(s, "ask", func(args []any, ack socket.Ack) { ack(args, nil) })
	acked(s, "twice", func(args []any, ack socket.Ack) {
		ack(args, nil)
		ack([]any{"again"}, nil)
	})
	acked(s, "silent", func([]any, socket.Ack) {})
	acked(s, "later", func(args []any, ack socket.Ack) { waiting = append(waiting, func() { ack(args, nil) }) })
	_ = s.On("now", func(...any) {
		for _, answer := range waiting {
			answer()
		}
		waiting = nil
	})
}

func registerQuestions(s *socket.Socket) {
	_ = s.On("question", func(args ...any) {
		_ = s.Emit("question", append(args, func(reply []any, _ error) { _ = s.Emit("answer", reply...) })...)
	})
	_ = s.On("questions", func(args ...any) {
		for i := range int(args[0].(float64)) {
			_ = s.Emit("question", i, func(reply []any, _ error) { _ = s.Emit("answer", append([]any{i}, reply...)...) })
		}
	})
	_ = s.On("impatient", func(args ...any) {
		within := time.Duration(args[0].(float64) * float64(time.Millisecond))
		_ = s.Timeout(within).Emit("question", func(reply []any, err error) {
			if err != nil {
				reply = []any{"timeout"}
			}
			_ = s.Emit("answer", reply...)
		})
	})
}
