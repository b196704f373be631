package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is what the HTTP API is told at start.
type Config struct {
	Name    string   // service name shown on /; default "teloo-realtime-gateway"
	Version string   // build's version; default "dev"
	Node    string   // this node's name as clients know it; required
	Origins []string // origins allowed to read across sites, "*" for any; default none
	Dev     bool     // serve /demo; default false, and never in production

	// How long one reading of /stats or /health answers for, counted from its start. 1 ms to 100 ms, default 100 ms.
	CacheFor time.Duration
	// How long one reading may take before the last known figures are answered. 10 ms to 30 s, default 1 s.
	ReadTimeout time.Duration
	// How long a publish from the demo page may take. 10 ms to 30 s, default 5 s.
	PublishTimeout time.Duration
	// Largest request body, bytes. 1 KiB to 1 MiB, default 128 KiB: an event's 64 KiB of data and its envelope.
	MaxBody int64
}

// DefaultConfig is the one place of this package's defaults.
func DefaultConfig() Config {
	return Config{
		Name:           "teloo-realtime-gateway",
		Version:        "dev",
		CacheFor:       100 * time.Millisecond,
		ReadTimeout:    time.Second,
		PublishTimeout: 5 * time.Second,
		MaxBody:        128 << 10,
	}
}

// Validate names every fault of the configuration at once.
func (c Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		name  string
		value string
	}{{"Name", c.Name}, {"Version", c.Version}, {"Node", c.Node}} {
		if f.value == "" || len(f.value) > 128 {
			faults = append(faults, fmt.Errorf("api: %s has %d bytes, want 1 to 128", f.name, len(f.value)))
		}
	}
	for _, f := range []struct {
		name        string
		value       time.Duration
		least, most time.Duration
	}{
		{"CacheFor", c.CacheFor, time.Millisecond, 100 * time.Millisecond},
		{"ReadTimeout", c.ReadTimeout, 10 * time.Millisecond, 30 * time.Second},
		{"PublishTimeout", c.PublishTimeout, 10 * time.Millisecond, 30 * time.Second},
	} {
		if f.value < f.least || f.value > f.most {
			faults = append(faults, fmt.Errorf("api: %s is %v, want %v to %v", f.name, f.value, f.least, f.most))
		}
	}
	if c.MaxBody < 1<<10 || c.MaxBody > 1<<20 {
		faults = append(faults, fmt.Errorf("api: MaxBody is %d, want 1024 to 1048576", c.MaxBody))
	}
	for _, o := range c.Origins {
		if !validOrigin(o) {
			faults = append(faults, fmt.Errorf("api: origin %q is not like https://app.example.com or *", o))
		}
	}
	return errors.Join(faults...)
}

// withDefaults fills what was left at its zero value.
func (c Config) withDefaults() Config {
	d := DefaultConfig()
	c.Name = cmp.Or(c.Name, d.Name)
	c.Version = cmp.Or(c.Version, d.Version)
	c.CacheFor = cmp.Or(c.CacheFor, d.CacheFor)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, d.ReadTimeout)
	c.PublishTimeout = cmp.Or(c.PublishTimeout, d.PublishTimeout)
	c.MaxBody = cmp.Or(c.MaxBody, d.MaxBody)
	return c
}

func validOrigin(o string) bool {
	if o == "*" {
		return true
	}
	u, err := url.Parse(o)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// allowedOrigin gives the value of Access-Control-Allow-Origin for a request's origin, or "".
func (c Config) allowedOrigin(origin string) string {
	switch {
	case slices.Contains(c.Origins, "*"):
		return "*"
	case origin == "":
		return ""
	}
	for _, o := range c.Origins {
		if strings.EqualFold(strings.TrimSuffix(o, "/"), origin) {
			return origin
		}
	}
	return ""
}
