package node

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// poller is a long-polling client, request by request.
type poller struct {
	t   *testing.T
	url string
}

func (r *rig) poll(token string) *poller {
	p := &poller{t: r.t, url: r.url + "/socket.io/?EIO=4&transport=polling"}
	r.t.Cleanup(http.DefaultClient.CloseIdleConnections)
	var open struct {
		Sid string `json:"sid"`
	}
	require.NoError(r.t, json.Unmarshal([]byte(strings.TrimPrefix(p.get(), "0")), &open))
	p.url += "&sid=" + open.Sid
	res, err := http.Post(p.url, "text/plain", strings.NewReader(`40{"token":"`+token+`"}`))
	require.NoError(r.t, err)
	_ = res.Body.Close()
	for got := ""; !strings.Contains(got, `"connected"`); {
		got += p.get()
	}
	return p
}

// get is one poll; "" if it was not answered in time or refused.
func (p *poller) get() string {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	require.NoError(p.t, err)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

func TestPollingClientThatIsSentAwayIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	p := r.poll("client:c")
	answer := make(chan string, 1)
	go func() { answer <- p.get() }()
	r.eventually("it polls", func() bool { return r.sockets()[0].Conn().Transport().Writable() })
	r.CloseAll()
	require.Equal(t, "1", <-answer, "left unanswered, it would notice only after its ping timeout")
	r.eventually("the socket has gone", func() bool { return r.presence.user("client:c") == 0 })
}

func TestPollingClientGetsEventsAndCloseInTwoAnswers(t *testing.T) {
	r := newRig(t, nil)
	p := r.poll("client:c")
	require.NoError(t, r.io.To("client").Emit("ev"))
	r.CloseAll()
	require.Equal(t, `42["ev"]`, p.get())
	require.Equal(t, "1", p.get())
	require.Eventually(t, func() bool { return r.presence.user("client:c") == 0 }, deadline, time.Millisecond)
}

func TestLargeAnswersAreWholeAndDoNotLoseTheNextPoll(t *testing.T) {
	r := newRig(t, nil)
	p := r.poll("client:c")
	large := strings.Repeat("x", 64<<10)
	for range 100 {
		require.NoError(t, r.io.To("client").Emit("ev", large))
		require.Equal(t, `42["ev","`+large+`"]`, p.get())
	}
}
