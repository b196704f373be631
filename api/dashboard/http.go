package dashboard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/api"
)

// Path is where the page is, Sockets where its Socket.IO server is.
const (
	Path    = "/dashboard"
	Sockets = Path + "/socket.io/"
)

// The page loads nothing from elsewhere, runs no inline script or style, and turns no string into markup.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// maxBody is for requests of the page's files, which have none.
const maxBody = 1 << 10

var (
	errNoFile = errors.New("no such path")
	errMethod = errors.New("method not allowed")
)

// Handler serves the page and its files, which are secret to nobody, and sockets at Sockets, which Admit guards.
func (p *Page[W]) Handler(sockets http.Handler) http.Handler {
	files := http.NewServeMux()
	files.HandleFunc(Path, p.answer(p.page))
	files.HandleFunc(Path+"/{$}", p.answer(p.page))
	files.HandleFunc(Path+"/assets/{file}", p.answer(p.asset))
	files.HandleFunc("/", p.answer(func(http.ResponseWriter, *http.Request) error { return errNoFile }))
	mux := http.NewServeMux()
	mux.Handle(Sockets, sockets)
	mux.Handle("/", api.Guard(files, maxBody, p.fail))
	return mux
}

func (p *Page[W]) answer(do func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := errMethod
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			err = do(w, r)
		}
		if err != nil {
			p.fail(w, r, err)
		}
	}
}

func (p *Page[W]) page(w http.ResponseWriter, r *http.Request) error {
	if p.deps.Assets == nil {
		return fs.ErrNotExist
	}
	content, err := fs.ReadFile(p.deps.Assets, "index.html")
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
	http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(content))
	return nil
}

// asset serves a built file. All but the bundled licences have a hash of their content behind a dash in their name.
func (p *Page[W]) asset(w http.ResponseWriter, r *http.Request) error {
	if p.deps.Assets == nil {
		return errNoFile
	}
	name := "assets/" + r.PathValue("file")
	content, err := fs.ReadFile(p.deps.Assets, name)
	if err != nil {
		return errNoFile // whatever is wrong with the name, it is none of a built file
	}
	if strings.Contains(name, "-") {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	return nil
}

// fail answers in plain words: who reads them is a person.
func (p *Page[W]) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, errNoFile):
		http.Error(w, "no such path", http.StatusNotFound)
	case errors.Is(err, errMethod):
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	case errors.Is(err, fs.ErrNotExist):
		http.Error(w, "the page is not built: run `make web`", http.StatusServiceUnavailable)
	default:
		p.log.Error("page not served", "path", r.URL.Path[:min(len(r.URL.Path), 128)], "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
	}
}
