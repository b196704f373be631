package adapter

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTheUsualLayoutIsDecodedFast(t *testing.T) {
	for data, usual := range map[string]bool{
		nodeJSON: true,
		`{"opts":{"rooms":["a"],"except":["b","c"],"flags":{"volatile":true}},"packet":{"type":2,"data":["e"]}}`:      true,
		`{"opts":{"rooms":[],"except":[],"flags":{}},"packet":{"type":2,"data":["e","]\\\"}"],"nsp":"/x"}}`:           true,
		`{"opts":{"rooms":["\u0061"],"except":[],"flags":{}},"packet":{"type":2,"data":["e"]}}`:                       false,
		`{"opts":{"rooms":[],"except":[],"flags":{"compress":false}},"packet":{"type":2,"data":["e"]}}`:               false,
		`{"opts":{"rooms":[],"except":[],"flags":{}},"packet":{"type":2,"data":["e"],"id":1}}`:                        false,
		`{"opts":{"rooms":[],"except":[],"flags":{}},"packet":{"type":2,"data":["e"]},"requestId":"x"}`:               false,
		`{"opts":{"rooms":[],"except":[],"flags":{}},"packet":{"type":2,"data":["e"],"nsp":"/"},"opts":{"rooms":[]}}`: false,
		`{"opts":{"rooms":[],"except":[],"flags":{}},"packet":{"type":2,"data":["e"`:                                  false,
	} {
		_, _, ok := fastEvent(data)
		require.Equal(t, usual, ok, data)
	}
}

// FuzzFastEvent compares the fast decoding with the general one.
func FuzzFastEvent(f *testing.F) {
	f.Add(nodeJSON)
	f.Add(`{"opts":{"rooms":["a"],"except":["b"],"flags":{"volatile":true}},"packet":{"type":2,"data":["e","\\\""]}}`)
	f.Fuzz(func(t *testing.T, data string) {
		opts, array, ok := fastEvent(data)
		if !ok || !utf8.ValidString(data) {
			return
		}
		var body entryBody
		require.NoError(t, json.Unmarshal([]byte(data), &body))
		general, err := optionsFrom(body.Opts)
		require.NoError(t, err)
		require.Equal(t, general, opts)
		require.Equal(t, string(body.Packet.Data), string(array))
		require.Nil(t, body.Packet.ID)
		require.Nil(t, body.RequestID)
		require.Equal(t, packetEvent, body.Packet.Type)
	})
}
