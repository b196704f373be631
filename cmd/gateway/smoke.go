package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/teloo/realtime-gateway/deploy/bench/load"
	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/streams"
)

type smokeCmd struct {
	URL       string        `arg:""                                                                                   help:"The cluster, as ws://host:port, wss://host:port or with http(s)."`
	Role      string        `help:"Role of the client; client, advisor, admin or the first of JWT_ROLES, if not set." placeholder:"ROLE"`
	TokenFile string        `help:"File with the client's token, in place of one that is signed here."                placeholder:"FILE"                                                      type:"path"`
	Key       string        `help:"PEM file with the private key for the token; without it JWT_SECRET_KEY signs."     placeholder:"FILE"                                                      type:"path"`
	Algorithm string        `help:"Algorithm; the first of JWT_ALGORITHM that the key can sign for, if not set."      placeholder:"NAME"`
	Timeout   time.Duration `default:"30s"                                                                            help:"How long all of it may take."`
}

// Help is shown below the flags.
func (*smokeCmd) Help() string {
	return "Connects one Socket.IO client, writes one event for its user to the event stream of the configured Redis and waits " +
		"until it arrives. It ends with 0 if it did: `helm test` runs it."
}

// Run connects, publishes and receives.
func (s *smokeCmd) Run(ctx context.Context, a *app) error {
	needs := []string{"REDIS_", "JWT_ALGORITHM", "JWT_ROLES", "JWT_SECRET_KEY"}
	if s.Key != "" || s.TokenFile != "" {
		needs = needs[:3]
	}
	c, err := a.config(needs...)
	if err != nil {
		return err
	}
	token, user, err := s.identity(c)
	if err != nil {
		return err
	}
	fleet, err := load.New(load.Config{
		URL: benchURL(s.URL), Clients: 1, Token: func(int) string { return token }, Backoff: benchBackoff,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("not within %v", s.Timeout))
	defer cancel()
	client := c.newRedis(false)
	defer func() { _ = client.Close() }()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(serving) }()
	err = s.all(ctx, a, fleet, &benchPublisher{streams.NewPublisher(client, c.RedisPrefix)}, user)
	stop()
	return errors.Join(err, <-ended)
}

func (s *smokeCmd) all(ctx context.Context, a *app, fleet *load.Fleet, pub load.Publisher, user string) error {
	began := time.Now()
	if err := fleet.WaitReady(ctx, 1); err != nil {
		return fmt.Errorf("connecting to %s: %w%s", s.URL, err, troubleOf(fleet.Stats()))
	}
	if _, err := fmt.Fprintf(a.stdout, "connected to %s in %s\n", s.URL, short(time.Since(began))); err != nil {
		return err
	}
	now := time.Now()
	event := load.Event{
		Name: "notificacion_smoke", Rooms: []string{"user_" + user},
		Data: load.AppendData(nil, load.Stamp{At: now.UnixMicro(), Kind: load.ToUser, Seq: 1}, "", "", 0),
	}
	if err := pub.Publish(ctx, []load.Event{event}); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if err := fleet.Wait(ctx, func(s load.Stats) bool { return s.Events > 0 }); err != nil {
		return fmt.Errorf("the event was written and did not arrive: %w%s", err, troubleOf(fleet.Stats()))
	}
	_, err := fmt.Fprintf(a.stdout, "published an event and received it %s later\n", short(time.Since(now)))
	return err
}

// identity is the client's token and whose it is.
func (s *smokeCmd) identity(c Config) (token, user string, err error) {
	if s.TokenFile == "" {
		user = "smoke-" + strings.ToLower(rand.Text()[:8])
		if s.Role == "" {
			s.Role = defaultRole(c)
		}
		signer := tokenCmd{Key: s.Key, Algorithm: s.Algorithm}
		token, err = signer.sign(c, &auth.MintRequest{
			User: user, Role: s.Role, TTL: s.Timeout + time.Minute, Issuer: c.JWTIssuer, Audience: c.JWTAudience,
		})
		return token, user, err
	}
	content, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", "", fmt.Errorf("--token-file: %w", err)
	}
	token = strings.TrimSpace(string(content))
	if user, err = subjectOf(token); err != nil {
		return "", "", fmt.Errorf("--token-file: %w", err)
	}
	return token, user, nil
}

// defaultRole is the least that JWT_ROLES has of the usual ones, else its first by name.
func defaultRole(c Config) string {
	for _, role := range []string{"client", "advisor", "admin"} {
		if _, ok := c.JWTRoles[role]; ok {
			return role
		}
	}
	if len(c.JWTRoles) == 0 {
		return ""
	}
	return sortedKeys(c.JWTRoles)[0]
}

// subjectOf reads whose token it is. Whether that is true is for the gateway to find.
func subjectOf(token string) (string, error) {
	parts := strings.Split(token, ".")
	var claims struct {
		Sub    json.RawMessage `json:"sub"`
		UserID json.RawMessage `json:"user_id"`
	}
	if len(parts) == 3 {
		body, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil && json.Unmarshal(body, &claims) == nil {
			for _, id := range []json.RawMessage{claims.Sub, claims.UserID} {
				if text := strings.Trim(string(id), `"`); text != "" && text != "null" {
					return text, nil
				}
			}
		}
	}
	return "", errors.New("holds no token with a subject")
}

// troubleOf is what a fleet complains of, to be added to an error.
func troubleOf(s load.Stats) string {
	switch {
	case len(s.Refused) > 0:
		return "; refused: " + refusals(s.Refused)
	case s.LastError != "":
		return "; " + s.LastError
	default:
		return ""
	}
}
