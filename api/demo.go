package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxID          = 128 // bytes of a user or solicitud id
	maxSolicitudes = 100 // in one demo token

	// The page loads nothing from elsewhere, runs no inline script, and turns no string into markup.
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

func (s *server) demoRoutes(mux *http.ServeMux) {
	read := []string{http.MethodGet, http.MethodHead}
	mux.Handle("/demo", s.local(s.only(s.demoPage, read...)))
	mux.Handle("/demo/{$}", s.local(s.only(s.demoPage, read...)))
	mux.Handle("/demo/assets/{file}", s.local(s.only(s.demoAsset, read...)))
	mux.Handle("/demo/token", s.local(s.only(s.demoToken, http.MethodPost)))
	mux.Handle("/demo/publish", s.local(s.only(s.demoPublish, http.MethodPost)))
}

// local refuses what a web site elsewhere makes a browser send. A development node listens on loopback only, so a Host
// that isn't loopback is DNS rebinding.
func (s *server) local(next http.Handler) http.Handler {
	var crossOrigin http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.Host) {
			s.fail(w, r, errForeign)
			return
		}
		if err := crossOrigin.Check(r); err != nil {
			s.fail(w, r, errors.Join(errForeign, err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (s *server) demoPage(w http.ResponseWriter, _ *http.Request) error {
	page, err := fs.ReadFile(s.dist, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, errNotBuilt.Error()+"\n")
		return nil
	}
	if err != nil {
		return fmt.Errorf("demo page: %w", err)
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
	return nil
}

// demoAsset serves a built file. All but the bundled licences have a hash of their content behind a dash in their name.
func (s *server) demoAsset(w http.ResponseWriter, r *http.Request) error {
	name := "assets/" + r.PathValue("file")
	content, err := fs.ReadFile(s.dist, name)
	if err != nil {
		return errNotFound // whatever is wrong with the name, it is none of a built file
	}
	if strings.Contains(name, "-") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	return nil
}

func (s *server) demoToken(w http.ResponseWriter, r *http.Request) error {
	var ask struct {
		Role        string   `json:"role"`
		User        string   `json:"user_id"`
		Solicitudes []string `json:"solicitudes"`
	}
	body, err := readObject(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, &ask); err != nil {
		return fmt.Errorf("%w: role and user_id are strings, solicitudes is an array of strings", ErrInvalid)
	}
	if len(ask.Solicitudes) > maxSolicitudes {
		return fmt.Errorf("%w: more than %d solicitudes", ErrInvalid, maxSolicitudes)
	}
	for _, id := range append([]string{ask.Role, ask.User}, ask.Solicitudes...) {
		if !validID(id) {
			return fmt.Errorf("%w: role, user_id and each of solicitudes have 1 to %d bytes of printable UTF-8", ErrInvalid, maxID)
		}
	}
	if s.src.Demo.Token == nil {
		return ErrUnavailable
	}
	token, err := s.src.Demo.Token(ask.Role, ask.User, ask.Solicitudes)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"token": token, "role": ask.Role, "user_id": ask.User})
}

func (s *server) demoPublish(w http.ResponseWriter, r *http.Request) error {
	body, err := readObject(r)
	if err != nil {
		return err
	}
	if s.src.Demo.Publish == nil {
		return ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.PublishTimeout)
	defer cancel()
	id, err := s.src.Demo.Publish(ctx, body)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"id": id})
}

// readObject reads a body that is one JSON object. The media type is checked since a form cannot send it across sites.
func readObject(r *http.Request) (json.RawMessage, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, errMediaType
	}
	body, err := io.ReadAll(r.Body)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%w: body cannot be read", ErrInvalid)
	}
	body = bytes.TrimSpace(body)
	if !bytes.HasPrefix(body, []byte("{")) || !json.Valid(body) || !utf8.Valid(body) {
		return nil, fmt.Errorf("%w: body is not a JSON object", ErrInvalid)
	}
	return body, nil
}

func validID(id string) bool {
	return id != "" && len(id) <= maxID && utf8.ValidString(id) && !strings.ContainsFunc(id, unicode.IsControl)
}
