package adapter

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// The stock client takes any event's last argument, or name, for the position if it is a string.
func TestWhatCarriesItsPosition(t *testing.T) {
	for _, c := range []struct {
		flags, packet string
		carries       bool
	}{
		{``, `"data":["e",1]`, true},
		{``, `"data":["e",1],"id":7`, false},
		{`"volatile":true`, `"data":["e",1]`, false},
		{`"volatile":true`, `"data":["e","x",{}]`, false},
		{`"volatile":true`, `"data":["e"]`, true},
		{`"volatile":true`, `"data":["e",1,"1-2" ]`, true},
		{`"volatile":true`, `"data":["e","x"],"id":7`, false},
	} {
		raw := rawOf(map[string]any{
			"uid": "n", "nsp": "/", "type": "3",
			"data": fmt.Sprintf(`{"opts":{"rooms":[],"except":[],"flags":{%s}},"packet":{"type":2,%s,"nsp":"/"}}`, c.flags, c.packet),
		})
		l := &logged{id: streamID{9, 1}}
		e, err := l.decode(raw)
		require.NoError(t, err)
		require.Equal(t, c.flags != "", e.opts.Flags.Volatile)
		require.Equal(t, c.carries, l.replayed(), c.packet)
	}
}
