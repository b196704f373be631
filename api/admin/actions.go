package admin

import (
	"cmp"
	"context"
	_ "embed" // the document
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"
)

//go:embed openapi.yaml
var document []byte

const (
	minGrant = time.Minute
	maxGrant = 366 * 24 * time.Hour
)

var traceParent = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// route is one operation; openapi.yaml describes the same.
type route struct {
	method, path string
	action       action
}

// action answers a request, or returns an error.
type action func(*http.Request) (reply, error)

// reply is an answer; a body of nil is none.
type reply struct {
	status int
	body   any
}

// yaml is a body that stands for itself.
type yaml []byte

func (s *server) routes() []route {
	const (
		user  = "/admin/users/{user}"
		grant = "/admin/solicitudes/{solicitud}/grants/{user}"
	)
	return append(append(s.deadRoutes(), s.logLevelRoutes()...), []route{
		{http.MethodPost, "/admin/events", s.timed(s.publish)},
		{http.MethodGet, user + "/sockets", s.timed(s.sockets)},
		{http.MethodPost, user + "/disconnect", s.timed(s.disconnect)},
		{http.MethodPost, "/admin/revocations", s.timed(s.revoke)},
		{http.MethodPut, grant, s.timed(s.grant)},
		{http.MethodDelete, grant, s.timed(s.withdraw)},
		{http.MethodPost, "/admin/drain", s.drain},
		{http.MethodGet, "/admin/trace/{event}", s.timed(s.trace)},
		{http.MethodGet, "/admin/openapi.yaml", func(*http.Request) (reply, error) {
			return reply{http.StatusOK, yaml(document)}, nil
		}},
	}...)
}

// timed ends an action's context after Config.Timeout.
func (s *server) timed(do action) action {
	return func(r *http.Request) (reply, error) {
		ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Timeout)
		defer cancel()
		return do(r.WithContext(ctx))
	}
}

// done leaves a change's line in the log, whether it came about or not, and returns err.
func (s *server) done(r *http.Request, err error, action, target string, more ...any) error {
	attrs := append([]any{"action", action, "target", target, "address", s.deps.ClientAddr(r)}, more...)
	if err != nil {
		s.log.Warn("admin action failed", append(attrs, "err", err)...)
		return err
	}
	s.log.Info("admin action", attrs...)
	return nil
}

// publish takes an event in the form of an entry's payload field. What the contract says of its parts is the
// Publisher's to check.
func (s *server) publish(r *http.Request) (reply, error) {
	var event, eventID, trace string
	var data json.RawMessage
	var rooms []string
	var occurred moment
	given, err := fields{
		"event": &event, "data": &data, "rooms": &rooms, "event_id": &eventID, "occurred_at": &occurred, "traceparent": &trace,
	}.read(r)
	if err != nil {
		return reply{}, err
	}
	switch {
	case !validID(event):
		return reply{}, fmt.Errorf("%w: event is not an event's name", ErrInvalid)
	case len(data) == 0 || data[0] != '{':
		return reply{}, fmt.Errorf("%w: data is not an object", ErrInvalid)
	case given.has("event_id") && !validID(eventID):
		return reply{}, fmt.Errorf("%w: event_id has not %s", ErrInvalid, idForm)
	case given.has("occurred_at") && occurred.seconds:
		return reply{}, fmt.Errorf("%w: occurred_at is not an RFC 3339 time", ErrInvalid)
	case given.has("traceparent") && !traceParent.MatchString(trace):
		return reply{}, fmt.Errorf("%w: traceparent is not a W3C trace context", ErrInvalid)
	}
	flat := map[string]string{"event": event, "data": string(data)}
	for name, value := range map[string]string{
		"event_id": eventID, "rooms": string(given["rooms"]), "occurred_at": occurred.text, "traceparent": trace,
	} {
		if given.has(name) {
			flat[name] = value
		}
	}
	id, err := s.deps.Publisher.Publish(r.Context(), flat)
	if err := s.done(r, err, "publish", event, "id", id); err != nil {
		return reply{}, err
	}
	return reply{http.StatusAccepted, map[string]string{"id": id}}, nil
}

func (s *server) sockets(r *http.Request) (reply, error) {
	user, err := pathID(r, "user")
	if err != nil {
		return reply{}, err
	}
	found, err := s.deps.Sockets.Sockets(r.Context(), user)
	if err != nil {
		return reply{}, fmt.Errorf("listing sockets: %w", err)
	}
	found = append([]Socket{}, found...) // not null, and ours to sort
	slices.SortFunc(found, func(a, b Socket) int {
		return cmp.Or(a.ConnectedAt.Compare(b.ConnectedAt), cmp.Compare(a.ID, b.ID))
	})
	return reply{http.StatusOK, map[string]any{"user": user, "sockets": found}}, nil
}

func (s *server) disconnect(r *http.Request) (reply, error) {
	user, err := pathID(r, "user")
	if err == nil {
		err = noBody(r)
	}
	if err != nil {
		return reply{}, err
	}
	n, err := s.deps.Sockets.Disconnect(r.Context(), user)
	if err := s.done(r, err, "disconnect", "user:"+user, "sockets", n); err != nil {
		return reply{}, err
	}
	return reply{http.StatusOK, map[string]any{"user": user, "disconnected": n}}, nil
}

// revoke takes a token's jti, with its exp where known, or a user, with the moment of issue up to which tokens go.
func (s *server) revoke(r *http.Request) (reply, error) {
	var jti, user string
	var expires, before moment
	given, err := fields{"jti": &jti, "exp": &expires, "user": &user, "before": &before}.read(r)
	if err != nil {
		return reply{}, err
	}
	switch {
	case given.has("jti") == given.has("user"):
		return reply{}, fmt.Errorf("%w: want either jti or user", ErrInvalid)
	case given.has("jti") && given.has("before"), given.has("user") && given.has("exp"):
		return reply{}, fmt.Errorf("%w: exp is of a jti, before of a user", ErrInvalid)
	case !validID(jti + user): // one of them is empty
		return reply{}, fmt.Errorf("%w: jti or user has not %s", ErrInvalid, idForm)
	}
	ctx, target := r.Context(), "user:"+user
	switch {
	case given.has("jti"):
		target = "jti:" + jti
		err = s.deps.Revoker.RevokeToken(ctx, jti, expires.Time)
	case given.has("before"):
		err = s.deps.Revoker.RevokeUserBefore(ctx, user, before.Time)
	default:
		err = s.deps.Revoker.RevokeUser(ctx, user)
	}
	return reply{status: http.StatusNoContent}, s.done(r, err, "revoke", target)
}

func (s *server) grant(r *http.Request) (reply, error) {
	solicitud, user, err := grantIDs(r)
	if err != nil {
		return reply{}, err
	}
	var seconds int64
	given, err := fields{"ttl_seconds": &seconds}.readOptional(r)
	if err != nil {
		return reply{}, err
	}
	least, most := int64(minGrant/time.Second), int64(maxGrant/time.Second)
	if given.has("ttl_seconds") && (seconds < least || seconds > most) {
		return reply{}, fmt.Errorf("%w: ttl_seconds is %d, want %d to %d", ErrInvalid, seconds, least, most)
	}
	err = s.deps.Granter.Grant(r.Context(), solicitud, user, time.Duration(seconds)*time.Second)
	return reply{status: http.StatusNoContent}, s.done(r, err, "grant", "user:"+user, "solicitud", solicitud)
}

func (s *server) withdraw(r *http.Request) (reply, error) {
	solicitud, user, err := grantIDs(r)
	if err == nil {
		err = noBody(r)
	}
	if err != nil {
		return reply{}, err
	}
	err = s.deps.Granter.Withdraw(r.Context(), solicitud, user)
	return reply{status: http.StatusNoContent}, s.done(r, err, "withdraw", "user:"+user, "solicitud", solicitud)
}

func grantIDs(r *http.Request) (solicitud, user string, err error) {
	if solicitud, err = pathID(r, "solicitud"); err == nil {
		user, err = pathID(r, "user")
	}
	return solicitud, user, err
}

func (s *server) drain(r *http.Request) (reply, error) {
	if err := noBody(r); err != nil {
		return reply{}, err
	}
	s.deps.Drainer.Drain()
	_ = s.done(r, nil, "drain", "node:"+s.cfg.Node)
	return reply{http.StatusAccepted, map[string]string{"node": s.cfg.Node}}, nil
}
