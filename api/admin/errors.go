package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// ErrInvalid is wrapped by errors that are the requester's fault. Answered with 422 and the error's whole text.
var ErrInvalid = errors.New("invalid request")

// ErrUnavailable is wrapped by errors that pass by themselves, as when Redis does not answer. Answered with 503 and
// without the error's text. Errors of the network and of a time that ran out count as such anyway.
var ErrUnavailable = errors.New("temporarily unavailable")

// ErrNotReplicated is wrapped by the error of a change that was made, but that a failover of Redis may take back. Answered
// with 503 and a text that says so: whoever repeats a publish without an event_id publishes twice.
var ErrNotReplicated = errors.New("written, but not on enough replicas of Redis: a failover may take it back")

// ErrNoLetter is wrapped by errors about a dead letter that is none (any more). Answered with 404.
var ErrNoLetter = errors.New("no such dead letter")

var (
	errNotFound  = errors.New("no such path")
	errMethod    = errors.New("method not allowed")
	errMediaType = errors.New("the body has to be application/json")
	errMalformed = errors.New("malformed request")
	errNoKey     = errors.New("no key")
	errWrongKey  = errors.New("wrong key")
)

// limitedError says that an address has sent too many wrong keys.
type limitedError struct{ wait time.Duration }

func (e *limitedError) Error() string { return fmt.Sprintf("too many wrong keys, wait %v", e.wait) }

// problem is the body of an answer that is none, by RFC 9457. Code is a stable word for programs.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func newProblem(status int, code, detail string) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// problemOf is the one place that says what an error looks like from outside. Only texts written for the requester
// pass; anything unknown is "internal".
func problemOf(err error) problem {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	_, limited := errors.AsType[*limitedError](err)
	switch {
	case errors.Is(err, errNoKey), errors.Is(err, errWrongKey):
		return newProblem(http.StatusUnauthorized, "unauthorized", "the admin key is needed, as Authorization: Bearer or X-API-Key")
	case limited:
		return newProblem(http.StatusTooManyRequests, "rate_limited", "too many wrong keys from this address")
	case errors.Is(err, errNotFound):
		return newProblem(http.StatusNotFound, "not_found", errNotFound.Error())
	case errors.Is(err, ErrNoLetter):
		return newProblem(http.StatusNotFound, "not_found", ErrNoLetter.Error())
	case errors.Is(err, errMethod):
		return newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "the methods allowed are in the header Allow")
	case errors.Is(err, errMediaType):
		return newProblem(http.StatusUnsupportedMediaType, "unsupported_media_type", errMediaType.Error())
	case tooLarge:
		return newProblem(http.StatusRequestEntityTooLarge, "too_large", "the body is too large")
	case errors.Is(err, errMalformed):
		return newProblem(http.StatusBadRequest, "malformed", strings.TrimPrefix(err.Error(), errMalformed.Error()+": "))
	case errors.Is(err, ErrInvalid):
		return newProblem(http.StatusUnprocessableEntity, "invalid", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": "))
	case errors.Is(err, ErrNotReplicated):
		return newProblem(http.StatusServiceUnavailable, "not_replicated", ErrNotReplicated.Error())
	case passing(err):
		return newProblem(http.StatusServiceUnavailable, "unavailable", "temporarily unavailable, try again")
	default:
		return newProblem(http.StatusInternalServerError, "internal", "internal error")
	}
}

// passing says whether trying again may help: Redis' client wraps what the network says and adds nothing of its own.
func passing(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, context.Canceled) || errors.Is(err, io.EOF)
}
