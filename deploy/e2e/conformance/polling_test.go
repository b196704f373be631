package conformance

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// separator stands between the packets of a payload.
const separator = "\x1e"

// poller is a long-polling client that sends exactly the requests it is told to.
type poller struct {
	*server
	path string // with the session id, once there is one
	sid  string
}

// reply is the answer to a request; err if there was none.
type reply struct {
	status int
	body   string
	header http.Header
	err    error
}

// openPoll opens a session over polling.
func (s *server) openPoll() (*poller, handshake) {
	s.t.Helper()
	return s.pollAt(enginePoll)
}

func (s *server) pollAt(path string) (*poller, handshake) {
	s.t.Helper()
	p := &poller{server: s, path: path}
	h := opened(s.t, p.poll())
	p.sid = h.SID
	p.path += "&sid=" + h.SID
	return p, h
}

// connectPoll opens a Socket.IO connection over polling.
func (s *server) connectPoll(tag string) *poller {
	s.t.Helper()
	p, _ := s.pollAt(socketPoll)
	p.push(`40{"tag":"` + tag + `"}`)
	got := p.poll()
	require.Contains(s.t, got, `40{"sid":`)
	if !strings.Contains(got, ready) {
		require.Equal(s.t, ready, p.poll())
	}
	return p
}

// do makes any request.
func (s *server) do(ctx context.Context, method, path, body string, header map[string]string) (r reply) {
	req, err := http.NewRequestWithContext(ctx, method, s.url(path), strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	content, err := io.ReadAll(res.Body)
	return reply{status: res.StatusCode, body: string(content), header: res.Header, err: err}
}

func (p *poller) get() reply { return p.do(context.Background(), http.MethodGet, p.path, "", nil) }

func (p *poller) post(body string) reply {
	return p.do(context.Background(), http.MethodPost, p.path, body, map[string]string{"Content-Type": "text/plain;charset=UTF-8"})
}

// poll is a GET that is answered with packets.
func (p *poller) poll() string {
	p.t.Helper()
	r := p.get()
	require.NoError(p.t, r.err)
	require.Equal(p.t, http.StatusOK, r.status, r.body)
	return r.body
}

// push is a POST that is accepted.
func (p *poller) push(body string) {
	p.t.Helper()
	r := p.post(body)
	require.NoError(p.t, r.err)
	require.Equal(p.t, http.StatusOK, r.status, r.body)
	require.Equal(p.t, "ok", r.body)
}

// hang begins a GET and returns once the server has it; cancel gives it up.
func (p *poller) hang() (answered <-chan reply, cancel context.CancelFunc) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan reply, 1)
	go func() { ch <- p.do(ctx, http.MethodGet, p.path, "", nil) }()
	p.t.Cleanup(cancel)
	p.eventually("the poll waits", func() bool { return p.session(p.sid).Writable })
	return ch, cancel
}

// refused requires that the server does not know the session any more.
func (p *poller) refused() {
	p.t.Helper()
	r := p.get()
	require.NoError(p.t, r.err)
	require.Equal(p.t, http.StatusBadRequest, r.status, r.body)
}

// drain polls until the session has ended and returns the packets, answer by answer.
func (p *poller) drain() (answers [][]string) {
	p.t.Helper()
	for until := time.Now().Add(deadline); time.Now().Before(until); {
		r := p.get()
		require.NoError(p.t, r.err)
		if r.status != http.StatusOK {
			require.Equal(p.t, http.StatusBadRequest, r.status)
			return answers
		}
		answers = append(answers, strings.Split(r.body, separator))
	}
	p.t.Fatal("the session does not end")
	return nil
}

// last is the last packet of the last answer.
func last(answers [][]string) string {
	if len(answers) == 0 {
		return ""
	}
	packets := answers[len(answers)-1]
	return packets[len(packets)-1]
}
