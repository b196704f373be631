package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// adminMaxAnswer bounds what is read of an answer, bytes.
const adminMaxAnswer = 16 << 20

// adminRequest is one request to the admin API.
type adminRequest struct {
	method string
	// path are the segments after /admin, unescaped.
	path []string
	// body is sent as JSON; nil: none.
	body any
	// answer is what the answer's JSON is read into; nil: it is ignored.
	answer any
}

// call sends a request once: whoever ran the command decides on a repetition.
func (c *adminCmd) call(ctx context.Context, a *app, r adminRequest) error {
	cfg, err := a.config("ADMIN_API_KEY", "METRICS_PORT", "PORT")
	if err != nil {
		return err
	}
	if cfg.AdminAPIKey == "" {
		v, _ := lookup("ADMIN_API_KEY")
		return ConfigError{v.fault("is not set; it has to be the nodes' own")}
	}
	base, err := c.base(cfg)
	if err != nil {
		return err
	}
	if base.Scheme == "http" && !isLoopback(base.Hostname()) {
		a.warn("the key travels unencrypted to " + base.Host)
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := r.build(ctx, base, cfg.AdminAPIKey)
	if err != nil {
		return err
	}
	client := &http.Client{
		// The key is for the host named, and for none that it points to.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the admin API: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	return r.read(response)
}

// base is --url, or this machine's node.
func (c *adminCmd) base(cfg Config) (*url.URL, error) {
	if c.URL == "" {
		port := cfg.Port
		if cfg.MetricsPort != 0 {
			port = cfg.MetricsPort
		}
		return &url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, nil
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
		return nil, errors.New("--url: is not like https://host:port")
	case u.User != nil:
		return nil, errors.New("--url: holds a user or password; the key is read from ADMIN_API_KEY")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("--url: has a query or fragment; want the address only")
	default:
		return u, nil
	}
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (r adminRequest) build(ctx context.Context, base *url.URL, key secret) (*http.Request, error) {
	if slices.Contains(r.path, "") {
		return nil, errors.New("an id is empty")
	}
	segments := []string{strings.TrimSuffix(base.String(), "/"), "admin"}
	for _, segment := range r.path {
		segments = append(segments, escapeSegment(segment))
	}
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, r.method, strings.Join(segments, "/"), body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+string(key))
	request.Header.Set("Accept", "application/json, application/problem+json")
	if r.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// escapeSegment also escapes dots that alone would mean another path.
func escapeSegment(segment string) string {
	if segment == "." || segment == ".." {
		return strings.ReplaceAll(segment, ".", "%2E")
	}
	return url.PathEscape(segment)
}

// read reads an answer, or makes an error of it.
func (r adminRequest) read(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, adminMaxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return refusal(response, body)
	}
	if r.answer == nil {
		return nil
	}
	if err := json.Unmarshal(body, r.answer); err != nil {
		return fmt.Errorf("the answer is not the admin API's: %w", err)
	}
	return nil
}

// refusal says what a problem document says, and no more than the status of what isn't one.
func refusal(response *http.Response, body []byte) error {
	var problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	media, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if media != "application/problem+json" || json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		if response.StatusCode == http.StatusNotFound {
			return errors.New("HTTP 404: no admin API there; it is on METRICS_PORT, or else on PORT, of nodes that have ADMIN_API_KEY")
		}
		return fmt.Errorf("HTTP %d, and not from the admin API", response.StatusCode)
	}
	text := fmt.Sprintf("HTTP %d, %s: %s", response.StatusCode, problem.Code, problem.Detail)
	if seconds := response.Header.Get("Retry-After"); seconds != "" {
		text += "; try again in " + seconds + " s"
	}
	return errors.New(text)
}
