package adapter

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"

	"github.com/teloo/realtime-gateway/deploy/redistest"
)

// What @socket.io/redis-emitter 5.1.0 (notepack 3) and socket.io-emitter 3.2.0 (notepack 2) publish.
var emitted = map[string]string{
	"values":   "k6dlbWl0dGVyg6R0eXBlAqRkYXRhlahvZmVydGFfeIOhYgGhYaLDsaNiaWfPAB/////////LQAQAAAAAAADAkcOjbnNwoS+DpXJvb21zkKVmbGFnc4CmZXhjZXB0kA==",
	"room":     "k6dlbWl0dGVyg6R0eXBlAqRkYXRhkaNvbmWjbnNwoS+DpXJvb21zkaJyMaVmbGFnc4CmZXhjZXB0kA==",
	"except":   "k6dlbWl0dGVyg6R0eXBlAqRkYXRhkqN0d2+kbGFzdKNuc3ChL4Olcm9vbXOSonIxonIypWZsYWdzgqh2b2xhdGlsZcOoY29tcHJlc3PCpmV4Y2VwdJGicjM=",
	"binary":   "k6dlbWl0dGVyg6R0eXBlAqRkYXRhk6NiaW6BoWbEAwEC/9b/AAAAAKNuc3ChL4Olcm9vbXOQpWZsYWdzgKZleGNlcHSQ",
	"other":    "k6dlbWl0dGVyg6R0eXBlAqRkYXRhkqJucwGjbnNwpi9hZG1pboOlcm9vbXOQpWZsYWdzgKZleGNlcHSQ",
	"old":      "k6dlbWl0dGVyg6R0eXBlAqRkYXRhkqRvbGQxgaFhAaNuc3ChL4Klcm9vbXORonIxpWZsYWdzgA==",
	"volatile": "k6dlbWl0dGVyg6R0eXBlAqRkYXRhkqRvbGQyxAEHo25zcKEvgqVyb29tc5KicjGicjKlZmxhZ3OBqHZvbGF0aWxlww==",
}

func emittedPayload(t testing.TB, name string) []byte {
	t.Helper()
	payload, err := base64.StdEncoding.DecodeString(emitted[name])
	require.NoError(t, err)
	return payload
}

// throughTheLog is an emission as the log's readers see it.
func throughTheLog(t testing.TB, e Emission) entry {
	t.Helper()
	fields, err := EncodeEmission("n", e)
	require.NoError(t, err)
	read, err := decodeEntry(rawOf(fieldMap(fields)))
	require.NoError(t, err)
	return read
}

func TestEmissionsOfTheClassicEmitters(t *testing.T) {
	for name, want := range map[string]struct {
		array    string
		attached [][]byte
		rooms    []string
		except   []string
		volatile bool
	}{
		"values": {array: `["oferta_x",{"b":1,"a":"ñ","big":9007199254740991},2.5,null,[true]]`},
		"room":   {array: `["one"]`, rooms: []string{"r1"}},
		// Volatile and with a string at the end it would be taken for an offset.
		"except":   {array: `["two","last"]`, rooms: []string{"r1", "r2"}, except: []string{"r3"}},
		"binary":   {array: `["bin",{"f":{"_placeholder":true,"num":0}},"1970-01-01T00:00:00.000Z"]`, attached: [][]byte{{1, 2, 255}}},
		"old":      {array: `["old1",{"a":1}]`, rooms: []string{"r1"}},
		"volatile": {array: `["old2",{"_placeholder":true,"num":0}]`, attached: [][]byte{{7}}, rooms: []string{"r1", "r2"}, volatile: true},
	} {
		e, err := DecodeEmission(emittedPayload(t, name))
		require.NoError(t, err, name)
		require.Equal(t, "/", e.Nsp, name)
		read := throughTheLog(t, e)
		require.Equal(t, want.array, string(read.packet.array), name)
		require.Equal(t, want.attached, read.packet.attachments, name)
		require.ElementsMatch(t, want.rooms, read.opts.Rooms, name)
		require.ElementsMatch(t, want.except, read.opts.Except, name)
		require.Equal(t, want.volatile, read.opts.Flags.Volatile, name)
	}
	e, err := DecodeEmission(emittedPayload(t, "other"))
	require.NoError(t, err)
	require.Equal(t, "/admin", e.Nsp)
}

func TestWhatIsNoEmission(t *testing.T) {
	pack := func(v any) []byte {
		packed, err := packMsgpack(v)
		require.NoError(t, err)
		return packed
	}
	event := map[string]any{"type": int64(2), "data": []any{"ev"}, "nsp": "/"}
	everybody := map[string]any{"rooms": []any{}}
	_, err := DecodeEmission(pack([]any{"u", event, everybody}))
	require.NoError(t, err)
	e, err := DecodeEmission(pack([]any{"u", event, map[string]any{"rooms": []any{int64(7), nil}}}))
	require.NoError(t, err)
	require.Equal(t, []string{"7", "null"}, e.Rooms, "without the one that is not set it would be everybody if there were no other")
	for name, v := range map[string]any{
		"a map":          map[string]any{"uid": "u"},
		"too short":      []any{"u", event},
		"no packet":      []any{"u", "x", everybody},
		"an ack":         []any{"u", map[string]any{"type": int64(3), "data": []any{"ev"}}, everybody},
		"no data":        []any{"u", map[string]any{"type": int64(2)}, everybody},
		"a number":       []any{"u", map[string]any{"type": int64(2), "data": []any{int64(1)}}, everybody},
		"no rooms":       []any{"u", event, map[string]any{}}, // would be everybody
		"a room of none": []any{"u", event, map[string]any{"rooms": []any{[]any{}}}},
		"one room":       []any{"u", event, map[string]any{"rooms": "r"}},
	} {
		_, err := DecodeEmission(pack(v))
		require.ErrorIs(t, err, errEmission, name)
	}
}

func TestEmissionsThatClientsWouldNotTake(t *testing.T) {
	many := make([]any, 11)
	for i := range many {
		many[i] = []byte{1}
	}
	for name, e := range map[string]Emission{
		"no name":              {},
		"reserved":             {Event: "disconnect"},
		"more than ten":        {Event: "e", Args: many},
		"not JSON":             {Event: "e", Args: []any{json.RawMessage("{")}},
		"a room without name":  {Event: "e", Rooms: []string{""}},
		"a room without UTF-8": {Event: "e", Except: []string{"\xff"}},
	} {
		_, err := EncodeEmission("n", e)
		require.ErrorIs(t, err, ErrInvalidBroadcast, name)
	}
	require.Len(t, throughTheLog(t, Emission{Event: "e", Args: many[:10]}).packet.attachments, 10)
	require.False(t, throughTheLog(t, Emission{Event: "e", Volatile: true}).opts.Flags.Volatile, "its name would be the offset")
	require.False(t, throughTheLog(t, Emission{Event: "e", Args: []any{json.RawMessage(`"x" `)}, Volatile: true}).opts.Flags.Volatile)
	require.True(t, throughTheLog(t, Emission{Event: "e", Args: []any{json.RawMessage(`["x"]`)}, Volatile: true}).opts.Flags.Volatile)
}

func TestAttachmentsAreWhereTheyBelong(t *testing.T) {
	args, err := WithAttachments([]byte(`[{"f":{"_placeholder":true,"num":1},"n":9007199254740993},[{"_placeholder":true,"num":0}]]`), [][]byte{{1}, {2}}, 1000)
	require.NoError(t, err)
	read := throughTheLog(t, Emission{Event: "e", Args: args})
	require.Equal(t, `["e",{"f":{"_placeholder":true,"num":0},"n":9007199254740993},[{"_placeholder":true,"num":1}]]`, string(read.packet.array))
	require.Equal(t, [][]byte{{2}, {1}}, read.packet.attachments)
	for _, bad := range []string{
		`[{"_placeholder":true,"num":2}]`, `[{"_placeholder":true,"num":-1}]`, `[{"_placeholder":true}]`, `[{"_placeholder":true,"num":"0"}]`, `{}`, `[`,
	} {
		_, err := WithAttachments([]byte(bad), [][]byte{{1}, {2}}, 1000)
		require.Error(t, err, bad)
	}
}

func TestTheSameAttachmentManyTimesIsBounded(t *testing.T) {
	big := make([]byte, 1000)
	const one = `{"_placeholder":true,"num":0}`
	array := []byte("[" + one + "," + one + "," + one + "]")
	args, err := WithAttachments(array, [][]byte{big}, 3000+len(array))
	require.NoError(t, err)
	require.Len(t, args, 3)
	_, err = WithAttachments(array, [][]byte{big}, 2999+len(array))
	require.ErrorIs(t, err, ErrEmissionTooLarge)
	_, err = WithAttachments([]byte("["+strings.Repeat(one+",", maxAttachments)+one+"]"), [][]byte{{1}}, 1<<20)
	require.ErrorIs(t, err, ErrEmissionTooLarge)
	_, err = WithAttachments([]byte(strings.Repeat("[", 1000)+strings.Repeat("]", 1000)), nil, 1<<20)
	require.Error(t, err)
}

func TestKeysBesideAttachmentsKeepTheirOrder(t *testing.T) {
	args, err := WithAttachments([]byte(`[{"z":1,"a":{"_placeholder":true,"num":0},"m":{"y":1e2,"b":null}}]`), [][]byte{{1}}, 1000)
	require.NoError(t, err)
	require.Equal(t, `["e",{"z":1,"a":{"_placeholder":true,"num":0},"m":{"y":1e2,"b":null}}]`, string(mustBody(t, args).array))
	require.Equal(t, [][]byte{{1}}, throughTheLog(t, Emission{Event: "e", Args: args}).packet.attachments)
}

func mustBody(t *testing.T, args []any) packetBody {
	t.Helper()
	body, err := bodyOf(append([]any{"e"}, args...))
	require.NoError(t, err)
	return body
}

// A client closes its connection over a placeholder without attachment, and again whenever it is sent the event again.
func TestAForgedPlaceholderIsRefused(t *testing.T) {
	forged := object{keys: []string{placeholderKey, "num"}, values: []any{true, int64(9)}}
	for _, with := range []any{
		forged,
		[]any{forged},
		map[string]any{placeholderKey: true},
		object{keys: []string{"a"}, values: []any{forged}},
		json.RawMessage(`{"_placeholder":true,"num":9}`),
		json.RawMessage(`{"\u005fplaceholder":true,"num":9}`),
	} {
		_, err := EncodeEmission("n", Emission{Event: "e", Args: []any{with, []byte{1}}})
		require.ErrorIs(t, err, ErrInvalidBroadcast)
	}
	// Without attachments it means nothing.
	_, err := EncodeEmission("n", Emission{Event: "e", Args: []any{forged}})
	require.NoError(t, err)
	_, err = EncodeEmission("n", Emission{Event: "e", Args: []any{json.RawMessage(`"\n"`), []byte{1}}})
	require.NoError(t, err)
}

// Of 1 KiB of msgpack there may be 5 KiB of JSON.
func TestWhatAClientIsSentOfAnEmissionIsBounded(t *testing.T) {
	e := Emission{Event: "e", Args: []any{make([]any, 1000)}, MaxBytes: 5007}
	_, err := EncodeEmission("n", e)
	require.NoError(t, err)
	e.MaxBytes--
	_, err = EncodeEmission("n", e)
	require.ErrorIs(t, err, ErrEmissionTooLarge)
	_, err = EncodeEmission("n", Emission{Event: "e", Args: []any{make([]byte, 2000)}, MaxBytes: 2000})
	require.ErrorIs(t, err, ErrEmissionTooLarge)
}

func TestNotepacksOwnExtensions(t *testing.T) {
	for name, c := range map[string]struct {
		packed string
		want   any
	}{
		"undefined":   {"\xd4\x00\x00", nil},
		"date":        {"\xd7\x00\x00\x00\x00\x00\x00\x00\x03\xe8", "1970-01-01T00:00:01.000Z"},
		"ArrayBuffer": {"\xc7\x02\x00\x01\x02", []byte{1, 2}},
	} {
		v, err := unpackMsgpack([]byte(c.packed), true)
		require.NoError(t, err, name)
		require.Equal(t, c.want, v, name)
	}
	for _, bad := range []string{"\xd4\x01\x00", "\xd4\x00\x01", "\xc9\x7f\xff\xff\xff\x00", "\xd5\x00\x00\x00", "\xc7\x02\xff\x00\x00"} {
		_, err := unpackMsgpack([]byte(bad), true)
		require.Error(t, err, "%x", bad)
	}
}

func TestChangesAreAsTheLibraryWouldLogThem(t *testing.T) {
	fields, err := EncodeChange("n", Change{Kind: Join, Rooms: []string{"sid"}, Except: []string{"x"}, Names: []string{"a", "b"}})
	require.NoError(t, err)
	read, err := decodeEntry(rawOf(fieldMap(fields)))
	require.NoError(t, err)
	require.Equal(t, typeJoin, read.kind)
	require.Equal(t, []string{"sid"}, read.opts.Rooms)
	require.Equal(t, []string{"a", "b"}, read.rooms)
	fields, err = EncodeChange("n", Change{Kind: Disconnect, Rooms: []string{"sid"}, Close: true})
	require.NoError(t, err)
	read, err = decodeEntry(rawOf(fieldMap(fields)))
	require.NoError(t, err)
	require.Equal(t, typeDisconnect, read.kind)
	require.True(t, read.close)
	_, err = EncodeChange("n", Change{Kind: Leave, Names: []string{""}})
	require.ErrorIs(t, err, ErrInvalidBroadcast)
}

func TestAppendingIsFencedByTheLease(t *testing.T) {
	s := redistest.Start(t)
	cluster := prepareCluster(t, s.Addr(), testConfig("n1")).cluster
	rdb, ctx := s.Client(), t.Context()
	entryFor := func(event string) []string {
		fields, err := EncodeEmission("ingress", Emission{Event: event})
		require.NoError(t, err)
		return fields
	}
	const lease = "{teloo}:lease"
	n, err := cluster.AppendFenced(ctx, lease, "a#1", [][]string{entryFor("nobody")})
	require.ErrorIs(t, err, ErrNotHeld)
	require.Zero(t, n)
	require.NoError(t, rdb.Set(ctx, lease, "a#1", 0).Err())
	n, err = cluster.AppendFenced(ctx, lease, "a#1", [][]string{entryFor("one"), entryFor("two")})
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Zero(t, cluster.Stats().PublishFailed)
	require.NoError(t, rdb.Set(ctx, lease, "a#2", 0).Err())
	_, err = cluster.AppendFenced(ctx, lease, "a#1", [][]string{entryFor("late")})
	require.ErrorIs(t, err, ErrNotHeld)
	entries, err := rdb.XRange(ctx, "{teloo}:log", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Contains(t, entries[0].Values["data"], `"one"`)
	require.Contains(t, entries[1].Values["data"], `"two"`)
	// What Redis refuses ends the run: the order is kept.
	n, err = cluster.AppendFenced(ctx, lease, "a#2", [][]string{entryFor("three"), {"odd"}, entryFor("four")})
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrNotHeld)
	require.Equal(t, 1, n)
}

func FuzzDecodeEmission(f *testing.F) {
	for name := range emitted {
		f.Add(emittedPayload(f, name))
	}
	f.Add([]byte("\x93\xa1u\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x93\xa1e\xc4\x01\x01\x82\xac_placeholder\xc3\xa3num\x09\x81\xa5rooms\x90"))
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := DecodeEmission(payload)
		if err != nil {
			return
		}
		fields, err := EncodeEmission("n", e)
		if err != nil {
			return
		}
		// What is accepted reaches a client's parser, which accepts it.
		read, err := decodeEntry(rawOf(fieldMap(fields)))
		require.NoError(t, err)
		fr := newFrame("/", read.packet, read.opts.Flags)
		text := fr.library().packets[0].String()
		require.True(t, utf8.ValidString(text))
		decoder := parser.NewDecoder()
		require.NoError(t, decoder.Add(text), text)
		for _, attachment := range read.packet.attachments {
			require.NoError(t, decoder.Add(attachment), text)
		}
		decoder.Destroy()
	})
}
