package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// ErrInvalid is wrapped by errors that are the requester's fault; their whole text is shown to the requester.
var ErrInvalid = errors.New("invalid request")

// ErrUnavailable is wrapped by errors that pass by themselves, as when Redis does not answer. Answered with 503 and
// without the error's text.
var ErrUnavailable = errors.New("temporarily unavailable")

var (
	errNotFound  = errors.New("no such path")
	errMethod    = errors.New("method not allowed")
	errForeign   = errors.New("request from another site or host")
	errMediaType = errors.New("body is not application/json")
	errNotBuilt  = errors.New("the demo page is not built: run `make web`")
)

type problem struct {
	status  int
	code    string
	message string
}

// problemOf is the one place that says what an error looks like from outside. Only texts written for the requester
// pass; anything unknown is "internal".
func problemOf(err error) problem {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case errors.Is(err, errNotFound):
		return problem{http.StatusNotFound, "not_found", errNotFound.Error()}
	case errors.Is(err, errMethod):
		return problem{http.StatusMethodNotAllowed, "method_not_allowed", errMethod.Error()}
	case errors.Is(err, errForeign):
		return problem{http.StatusForbidden, "forbidden", errForeign.Error()}
	case errors.Is(err, errMediaType):
		return problem{http.StatusUnsupportedMediaType, "unsupported_media_type", errMediaType.Error()}
	case tooLarge:
		return problem{http.StatusRequestEntityTooLarge, "too_large", "body is too large"}
	case errors.Is(err, ErrInvalid):
		return problem{http.StatusBadRequest, "invalid", strings.TrimPrefix(err.Error(), ErrInvalid.Error()+": ")}
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return problem{http.StatusServiceUnavailable, "unavailable", "temporarily unavailable, try again"}
	default:
		return problem{http.StatusInternalServerError, "internal", "internal error"}
	}
}
