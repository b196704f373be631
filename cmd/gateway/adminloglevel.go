package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

type adminLogLevelCmd struct {
	Level string        `arg:""                                                                            help:"debug, info, warn or error; shown if not given." optional:""`
	For   time.Duration `help:"After how long the configured level is back, 1s to 24h; never, if not set." placeholder:"DURATION"`
}

// Run prints what holds then.
func (l *adminLogLevelCmd) Run(ctx context.Context, a *app, parent *adminCmd) error {
	var answer struct {
		Level      string    `json:"level"`
		Configured string    `json:"configured"`
		Until      time.Time `json:"until"`
	}
	request := adminRequest{http.MethodGet, []string{"log-level"}, nil, &answer}
	switch {
	case l.Level != "":
		body := map[string]string{"level": l.Level}
		if l.For != 0 {
			body["for"] = l.For.String()
		}
		request.method, request.body = http.MethodPut, body
	case l.For != 0:
		return errors.New("--for: wants a level")
	}
	if err := parent.call(ctx, a, request); err != nil {
		return err
	}
	if answer.Until.IsZero() {
		return tell(a, "%s (configured: %s)", answer.Level, answer.Configured)
	}
	return tell(a, "%s until %s (configured: %s)", answer.Level, timeCell(answer.Until), answer.Configured)
}
