package engine

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Who announces a body and sends none keeps no connection, and no request that Run would wait for.
func TestBodiesThatDoNotComeAreNotWaitedFor(t *testing.T) {
	for name, c := range map[string]struct{ method, query, length string }{
		"handshake":       {"GET", "transport=polling", "5"},
		"unknown session": {"POST", "transport=polling&sid=nobody", "5"},
		"too large":       {"POST", "transport=polling&sid=%s", "150000"},
		"message":         {"POST", "transport=polling&sid=%s", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.StallTimeout = 100 * time.Millisecond }, nil)
			query := c.query
			if name == "too large" || name == "message" {
				_, s := r.polling()
				query = fmt.Sprintf(query, s.Id())
			}
			u, err := url.Parse(r.url(query))
			require.NoError(t, err)
			conn, err := net.Dial("tcp", u.Host)
			require.NoError(t, err)
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n", c.method, u.RequestURI(), c.length)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			_, err = io.ReadAll(conn)
			require.NoError(t, err, "the server closes it")
		})
	}
}
