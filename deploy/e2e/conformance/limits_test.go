package conformance

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const smallPayload = 1024

func small(set *setup) { set.MaxPayload = smallPayload }

func TestPostsOverTheLimit(t *testing.T) {
	s := start(t, small)
	for name, headers := range map[string]func(n int) string{
		"by content length": func(n int) string {
			return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", n, "4"+strings.Repeat("x", n-1))
		},
		"in chunks": func(n int) string {
			var b strings.Builder
			b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
			for sent, body := 0, "4"+strings.Repeat("x", n-1); sent < n; {
				part := body[sent:min(n, sent+300)]
				fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
				sent += len(part)
			}
			b.WriteString("0\r\n\r\n")
			return b.String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			request := func(p *poller, n int) int {
				w, res := s.raw("POST " + p.path + " HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n" + headers(n))
				_ = w.Close()
				return res.status
			}
			p, _ := s.openPoll()
			require.Equal(t, http.StatusOK, request(p, smallPayload), "the limit itself")
			require.Len(t, p.poll(), smallPayload)
			require.Equal(t, http.StatusRequestEntityTooLarge, request(p, smallPayload+1))
			large, _ := s.openPoll()
			require.Equal(t, http.StatusRequestEntityTooLarge, request(large, 50*smallPayload))
			if r := large.post("4after"); r.err == nil && r.status == http.StatusOK {
				require.Equal(t, "4after", large.poll(), "nothing of the large body is delivered")
			}
		})
	}
}

func TestWebSocketMessagesOverTheLimit(t *testing.T) {
	s := start(t, small)
	half := bytesOf(smallPayload / 2)
	for name, data := range map[string][]byte{
		"text":         frame(true, opText, bytesOf(smallPayload+1)),
		"binary":       frame(true, opBinary, bytesOf(smallPayload+1)),
		"in fragments": append(append(frame(false, opText, half), frame(false, opContinuation, half)...), frame(true, opContinuation, []byte("x"))...),
		// The header alone promises more than can be kept.
		"only promised": {0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
		"4 GiB":         {0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.on(t)
			w, h := s.openWS()
			w.write(data)
			require.Contains(t, []int{closeTooBig, closeNoFrame}, w.ended().code)
			s.closedWith(h.SID, "transport error", "transport close")
		})
	}
}

func TestWebSocketCloseCodeOverTheLimit(t *testing.T) {
	s := start(t, small)
	w, _ := s.openWS()
	w.write(frame(true, opText, bytesOf(smallPayload+1)))
	require.Equal(t, closeTooBig, w.ended().code)
}

func TestLongQueries(t *testing.T) {
	s := start(t, nil)
	r := s.do(context.Background(), http.MethodGet, enginePoll+"&x="+strings.Repeat("y", 4000), "", nil)
	require.NoError(t, r.err)
	require.Equal(t, http.StatusOK, r.status)
	r = s.do(context.Background(), http.MethodGet, enginePoll+"&sid="+strings.Repeat("y", 4000), "", nil)
	require.NoError(t, r.err)
	require.Equal(t, http.StatusBadRequest, r.status)
}
