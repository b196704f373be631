package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	jwtSecret   = "a-secret-of-the-hostile-scenarios-only"
	eventStream = "{teloo}:events"
)

// stage is a Redis and a node, with nobody connected.
type stage struct {
	dir         string
	redis, node *process
	// redisAddr and addr are host:port.
	redisAddr, addr string
}

// newStage starts the two; environ are variables of the node's beside the necessary ones.
func newStage(ctx context.Context, f settings, environ ...string) (s *stage, err error) {
	s = &stage{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "hostile-"); err != nil {
		return s, err
	}
	redisPort, err := freePort()
	if err != nil {
		return s, err
	}
	port, err := freePort()
	if err != nil {
		return s, err
	}
	s.redisAddr, s.addr = loopback(redisPort), loopback(port)
	if s.redis, err = spawn(s.dir, "redis", nil, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(redisPort),
		"--dir", s.dir, "--daemonize", "no", "--save", "", "--appendonly", "no"); err != nil {
		return s, err
	}
	environ = append([]string{
		"HOST=127.0.0.1", "PORT=" + strconv.Itoa(port), "REDIS_URL=redis://" + s.redisAddr, "JWT_SECRET_KEY=" + jwtSecret,
		"NODE_NAME=hostile", "LOG_LEVEL=info",
	}, environ...)
	if s.node, err = spawn(s.dir, "gateway", environ, f.gateway, "--env-file", "", "serve"); err != nil {
		return s, err
	}
	return s, until(ctx, "the node is ready", 30*time.Second, func() error {
		_, err := s.get(ctx, "/health/ready")
		return err
	})
}

// close ends both processes and removes what they wrote.
func (s *stage) close() {
	s.node.stop()
	s.redis.stop()
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// get asks the node, over a connection of its own.
func (s *stage) get(ctx context.Context, path string) ([]byte, error) {
	if !s.node.running() {
		return nil, errors.New("the node has ended")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+path, nil)
	if err != nil {
		return nil, err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	var body json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", path, res.StatusCode)
	}
	return body, nil
}

// connections is what /stats says.
func (s *stage) connections(ctx context.Context) (int, error) {
	body, err := s.get(ctx, "/stats")
	if err != nil {
		return 0, err
	}
	var stats struct {
		Connections int `json:"connections"`
	}
	return stats.Connections, json.Unmarshal(body, &stats)
}

// faults are words of a log that no traffic may bring about.
var faults = []string{"panic", "fatal error", "DATA RACE"}

// fault is the first line of the node's log that has one; "": none.
func (s *stage) fault() string {
	for _, text := range faults {
		if _, line := s.node.count(text); line != "" {
			return line
		}
	}
	return ""
}

// token is an advisor's.
func token(user string) string {
	now := time.Now()
	claims := fmt.Sprintf(`{"sub":%q,"role":"advisor","iat":%d,"exp":%d}`, user, now.Unix(), now.Add(12*time.Hour).Unix())
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, []byte(jwtSecret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
