package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// healthMaxAnswer bounds what is read of an answer, bytes.
const healthMaxAnswer = 16 << 10

type healthCmd struct {
	Ready   bool          `help:"Ask whether it takes clients, not only whether it lives."`
	Timeout time.Duration `default:"2s"                                                    help:"How long the answer may take."`
}

// Help is shown below the flags.
func (*healthCmd) Help() string {
	return "Asks the node that runs here with the same HOST and PORT; ends with 0 if all is well, else with 1. It is what " +
		"the image's HEALTHCHECK runs, since there is no shell and no curl in it."
}

// Run asks this machine's node.
func (h *healthCmd) Run(ctx context.Context, a *app) error {
	cfg, err := a.config("HOST", "PORT")
	if err != nil {
		return err
	}
	path := "/health/live"
	if h.Ready {
		path = "/health/ready"
	}
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cfg.ownAddr()+path, nil)
	if err != nil {
		return err
	}
	// Environments often name a proxy, which could not reach this machine's loopback.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, healthMaxAnswer))
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP %d%s", response.StatusCode, reasonsOf(body))
	}
	_, err = fmt.Fprintln(a.stdout, "ok")
	return err
}

// ownAddr is where a node with this configuration can be asked from its own machine.
func (c Config) ownAddr() string {
	host := c.Host
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, strconv.Itoa(c.Port))
}

// reasonsOf are those that a node gives which is not ready; "" if the answer names none.
func reasonsOf(body []byte) string {
	var answer struct {
		Reasons []string `json:"reasons"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Reasons) == 0 {
		return ""
	}
	return ": " + strings.Join(answer.Reasons, ", ")
}
