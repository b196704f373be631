package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// answerFunc answers a request, or returns an error before having written anything.
type answerFunc func(http.ResponseWriter, *http.Request) error

// Guard wraps every path of a handler: headers that hold whatever the answer is, a body of at most maxBody bytes, and a
// panic costs one request, which fail answers.
func Guard(next http.Handler, maxBody int64, fail func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store")
		if r.Body != nil {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler: // net/http's own way to give up on a connection
				panic(p)
			default:
				fail(w, r, fmt.Errorf("panic: %v", p))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// only answers the methods given, none meaning all, and turns an error into its answer.
func (s *server) only(answer answerFunc, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := errMethod
		if len(methods) == 0 || slices.Contains(methods, r.Method) {
			err = answer(w, r)
		} else {
			w.Header().Set("Allow", strings.Join(methods, ", "))
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

// cors lets the configured origins read an answer and answers their preflights. Never with credentials.
func (s *server) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		allowed := s.cfg.allowedOrigin(r.Header.Get("Origin"))
		if allowed != "*" {
			h.Add("Vary", "Origin")
		}
		if allowed != "" {
			h.Set("Access-Control-Allow-Origin", allowed)
		}
		if r.Method != http.MethodOptions {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Allow", "GET, HEAD, OPTIONS")
		if allowed != "" {
			h.Set("Access-Control-Allow-Methods", "GET, HEAD")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.status >= http.StatusInternalServerError && !errors.Is(err, ErrUnavailable) && r.Context().Err() == nil {
		s.log.Error("request failed", "method", r.Method, "path", clip(r.URL.Path), "status", p.status, "err", err)
	}
	if p.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	_ = writeJSON(w, p.status, map[string]any{"error": map[string]string{"code": p.code, "message": p.message}})
}

// clip keeps a path from outside from filling the log.
func clip(path string) string {
	return strings.ToValidUTF8(path[:min(len(path), 128)], "")
}

// writeJSON encodes before it writes, so that a value that cannot be encoded is an error and not half an answer.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	writeBody(w, status, append(body, '\n'))
	return nil
}

// writeBody writes an encoded answer. A failing write is the requester's connection and nobody's concern.
func writeBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
