package admin

import (
	"errors"
	"net/http"

	"github.com/teloo/realtime-gateway/api"
)

// Keyed guards a handler of somebody else's with the admin key, as the API's own: whoever does not bring it gets the
// API's answers, and whoever guesses is soon refused unread. Its wrong keys are counted apart from the API's. Of deps it
// needs ClientAddr and Log, if any.
func Keyed(cfg Config, deps Deps, next http.Handler) (http.Handler, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if next == nil {
		return nil, errors.New("admin: no handler")
	}
	deps = deps.withDefaults()
	s := &server{cfg: cfg, deps: deps, key: api.NewKeyCheck(cfg.Key, cfg.MaxFailures, cfg.MaxAddresses), log: deps.Log}
	return api.Guard(s.authenticated(next), s.cfg.MaxBody, s.fail), nil
}
