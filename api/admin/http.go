package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// retryAfter is what those are told who met something that passes by itself.
const retryAfter = time.Second

// authenticated lets nobody pass without the key, to whatever path.
func (s *server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.authenticate(r); err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authenticate checks the key. A request without one guesses nothing and is not counted.
func (s *server) authenticate(r *http.Request) error {
	key := keyOf(r)
	if key == "" {
		return errNoKey
	}
	addr := s.deps.ClientAddr(r)
	right, wait := s.key.Check(addr, key)
	if wait > 0 {
		return &limitedError{wait}
	}
	if !right {
		s.log.Warn("admin key refused", "address", addr)
		return errWrongKey
	}
	return nil
}

// keyOf is the key that a request brings, or "": as a bearer, else in X-API-Key.
func keyOf(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	return r.Header.Get("X-Api-Key")
}

// mux routes by the table of routes, and answers in our form what net/http would answer in its own.
func (s *server) mux() http.Handler {
	mux := http.NewServeMux()
	paths := map[string]map[string]action{}
	for _, route := range s.routes() {
		if paths[route.path] == nil {
			paths[route.path] = map[string]action{}
		}
		paths[route.path][route.method] = route.action
	}
	for pattern, methods := range paths {
		mux.Handle(pattern, s.methods(methods))
	}
	mux.Handle("/", s.answer(func(*http.Request) (reply, error) { return reply{}, errNotFound }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.EscapedPath(); path.Clean(p) != p { // which the mux would redirect
			s.fail(w, r, errNotFound)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// methods answers the methods of one path; HEAD as GET, of which net/http leaves the body out.
func (s *server) methods(actions map[string]action) http.Handler {
	allowed := make([]string, 0, len(actions)+1)
	for method := range actions {
		allowed = append(allowed, method)
	}
	if get := actions[http.MethodGet]; get != nil {
		actions[http.MethodHead] = get
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		do, ok := actions[r.Method]
		if !ok {
			w.Header().Set("Allow", allow)
			s.fail(w, r, errMethod)
			return
		}
		s.answer(do)(w, r)
	})
}

// answer runs an action and writes its reply.
func (s *server) answer(do action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer, err := do(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if answer.body == nil {
			w.WriteHeader(answer.status)
			return
		}
		if document, ok := answer.body.(yaml); ok {
			writeBody(w, answer.status, "application/yaml", document)
			return
		}
		body, err := json.Marshal(answer.body)
		if err != nil {
			s.fail(w, r, fmt.Errorf("encode answer: %w", err))
			return
		}
		writeBody(w, answer.status, "application/json", append(body, '\n'))
	}
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	switch limited, _ := errors.AsType[*limitedError](err); p.Status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="admin"`
		if errors.Is(err, errWrongKey) {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests:
		setRetryAfter(w, limited.wait)
	case http.StatusServiceUnavailable:
		setRetryAfter(w, retryAfter)
	case http.StatusInternalServerError:
		s.log.Error("admin request failed", "method", r.Method, "path", clip(r.URL.Path), "err", err)
	}
	body, _ := json.Marshal(p) //nolint:errchkjson // strings and a number can be encoded
	writeBody(w, p.Status, "application/problem+json", append(body, '\n'))
}

func setRetryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
}

// clip keeps a path from outside from filling the log.
func clip(path string) string {
	return strings.ToValidUTF8(path[:min(len(path), 128)], "")
}

// writeBody writes an encoded answer. A failing write is the requester's connection and nobody's concern.
func writeBody(w http.ResponseWriter, status int, media string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
