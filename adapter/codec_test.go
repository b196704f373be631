package adapter

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zishang520/socket.io/parsers/socket/v3/parser"
	"github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// Written by @socket.io/redis-streams-adapter 0.3.1 and @msgpack/msgpack 2.8.
const (
	nodeJSON = `{"opts":{"rooms":["r1"],"except":[],"flags":{}},"packet":{"type":2,` +
		`"data":["ev",{"z":1,"a":[1,2.5,null]},"x<y>&"],"nsp":"/"}}`
	nodeBinary = "gqRvcHRzg6Vyb29tc5KicjGiw7GmZXhjZXB0kaF4pWZsYWdzg6h2b2xhdGlsZcOoY29tcHJlc3PCp3RpbWVvdXTNBdym" +
		"cGFja2V0g6R0eXBlAqRkYXRhk6JldoihYsQDAQIDoW77oWbLP/gAAAAAAACjYmlnzwAf////////oXOlw7zigKijbnVswKF0w6Fk1/8d" +
		"U1MAZVPxAMQB/6Nuc3ChLw=="
	nodeFetch = "hKN1aWSkYWJjZKNuc3ChL6R0eXBlB6RkYXRhgqRvcHRzg6Vyb29tc5GhYaZleGNlcHSQpWZsYWdzgad0aW1lb3V0zMip" +
		"cmVxdWVzdElksDAwMTEyMjMzNDQ1NTY2Nzc="
)

// rawOf is an entry as the client decodes it.
func rawOf(values map[string]any) *rawEntry {
	raw, err := rawEntryOf(redis.XMessage{ID: "1-1", Values: values})
	if err != nil {
		panic(err)
	}
	return &raw
}

func fieldMap(fields []string) map[string]any {
	m := make(map[string]any)
	for i := 0; i+1 < len(fields); i += 2 {
		m[fields[i]] = fields[i+1]
	}
	return m
}

func TestNodeEntriesAreDecoded(t *testing.T) {
	e, err := decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/", "type": "3", "data": nodeJSON}))
	require.NoError(t, err)
	require.Equal(t, []string{"r1"}, e.opts.Rooms)
	require.Equal(t, `["ev",{"z":1,"a":[1,2.5,null]},"x<y>&"]`, string(e.packet.array))

	e, err = decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/", "type": "3", "data": nodeBinary}))
	require.NoError(t, err)
	require.Equal(t, []string{"r1", "ñ"}, e.opts.Rooms)
	require.Equal(t, []string{"x"}, e.opts.Except)
	require.True(t, e.opts.Flags.Volatile)
	require.False(t, *e.opts.Flags.Compress)
	require.Equal(t, 1500*time.Millisecond, e.opts.Flags.timeout(0))
	require.Equal(t, [][]byte{{1, 2, 3}, {255}}, e.packet.attachments)
	require.Equal(t, `["ev",{"b":{"_placeholder":true,"num":0},"n":-5,"f":1.5,"big":9007199254740991,`+
		`"s":"ü\u2028","nul":null,"t":true,"d":"2023-11-14T22:13:20.123Z"},{"_placeholder":true,"num":1}]`,
		string(e.packet.array))

	for kind, data := range map[string]string{
		"4": `{"opts":{"rooms":[],"except":[],"flags":{}},"rooms":["a","b"]}`,
		"5": `{"opts":{"rooms":["q"],"except":[],"flags":{}},"rooms":["a"]}`,
		"6": `{"opts":{"rooms":["q"],"except":[],"flags":{}},"close":true}`,
	} {
		e, err := decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/x", "type": kind, "data": data}))
		require.NoError(t, err)
		require.Equal(t, kind == "6", e.close)
		require.Equal(t, "/x", e.nsp)
	}
}

func TestEncodeBroadcastKeepsArgumentsByteForByte(t *testing.T) {
	arg := `{ "b":1,"a":12345678901234567890, "s":"<é\u00e9>" ,"f":1.0}`
	fields, err := EncodeBroadcast("n:1", Broadcast{
		Rooms: []string{"r", `q"`}, Except: []string{"x"}, Event: "ev", Volatile: true,
		Args: []json.RawMessage{json.RawMessage(arg), nil},
	})
	require.NoError(t, err)
	require.Equal(t, []string{
		"uid", "n:1", "nsp", "/", "type", "3", "data",
		`{"opts":{"rooms":["r","q\""],"except":["x"],"flags":{"volatile":true}},` +
			`"packet":{"type":2,"data":["ev",` + arg + `,null],"nsp":"/"}}`,
	}, fields)
	e, err := decodeEntry(rawOf(fieldMap(fields)))
	require.NoError(t, err)
	require.Equal(t, `["ev",`+arg+`,null]`, string(e.packet.array))
	require.True(t, e.opts.Flags.Volatile)
}

func TestEncodeBroadcastRefusesWhatHasNoForm(t *testing.T) {
	good := Broadcast{Event: "ev", Args: []json.RawMessage{json.RawMessage("1")}}
	for name, spoil := range map[string]func(*Broadcast){
		"no event":       func(b *Broadcast) { b.Event = "" },
		"reserved event": func(b *Broadcast) { b.Event = "disconnect" },
		"event bytes":    func(b *Broadcast) { b.Event = "\xff" },
		"broken JSON":    func(b *Broadcast) { b.Args[0] = json.RawMessage("{") },
		"two values":     func(b *Broadcast) { b.Args[0] = json.RawMessage("1 2") },
		"not UTF-8":      func(b *Broadcast) { b.Args[0] = json.RawMessage("\"\xff\"") },
		"empty room":     func(b *Broadcast) { b.Rooms = []string{""} },
		"room bytes":     func(b *Broadcast) { b.Except = []string{"\xff"} },
	} {
		bad := good
		bad.Args = []json.RawMessage{json.RawMessage("1")}
		spoil(&bad)
		_, err := EncodeBroadcast("n", bad)
		require.ErrorIs(t, err, ErrInvalidBroadcast, name)
	}
}

func TestBadEntriesAreRefused(t *testing.T) {
	event := func(data string) string {
		return `{"opts":{"rooms":[],"except":[],"flags":{}},"packet":{"type":2,"data":` + data + `}}`
	}
	pack := func(v any) string {
		packed, err := packMsgpack(v)
		require.NoError(t, err)
		return base64.StdEncoding.EncodeToString(packed)
	}
	opts := options{}.value()
	for name, data := range map[string]string{
		"no data":         "",
		"not base64":      "#",
		"not msgpack":     "wQ==",
		"not JSON":        "{",
		"not UTF-8":       "{\"a\":\"\xff\"}",
		"no opts":         `{"packet":{"type":2,"data":["a"]}}`,
		"no rooms":        `{"opts":{},"packet":{"type":2,"data":["a"]}}`,
		"room list":       `{"opts":{"rooms":[[]]},"packet":{"type":2,"data":["a"]}}`,
		"no packet":       `{"opts":{"rooms":[]}}`,
		"ack packet":      `{"opts":{"rooms":[]},"packet":{"type":3,"data":["a"]}}`,
		"with request":    `{"opts":{"rooms":[]},"packet":{"type":2,"data":["a"]},"requestId":"x"}`,
		"no array":        event(`{}`),
		"absent array":    event(`null`),
		"empty array":     event(` [ ] `),
		"no event name":   event(`[{}]`),
		"reserved":        event(`["connect"]`),
		"reserved hidden": event(`["\u0063onnect"]`),
		"packed list":     pack([]any{}),
		"packed no opts":  pack(map[string]any{}),
		"packed no rooms": pack(map[string]any{"opts": map[string]any{"except": []any{}}}),
		"packed rooms":    pack(map[string]any{"opts": map[string]any{"rooms": []any{[]any{}}}}),
		"packed except":   pack(map[string]any{"opts": map[string]any{"rooms": []any{}, "except": "x"}}),
		"packed target":   pack(map[string]any{"opts": opts, "rooms": "x"}),
		"packed nothing":  pack(map[string]any{"opts": opts}),
		"packed ack":      pack(map[string]any{"opts": opts, "packet": map[string]any{"type": int64(3)}}),
		"packed data":     pack(map[string]any{"opts": opts, "packet": map[string]any{"type": int64(2), "data": "x"}}),
		"packed reserved": pack(map[string]any{"opts": opts, "packet": packetValue("/", []any{"connect"}, nil)}),
		"much binary":     pack(map[string]any{"opts": opts, "packet": packetValue("/", binaryArgs(maxAttachments+1), nil)}),
		"placeholder": pack(map[string]any{"opts": opts, "packet": packetValue("/",
			[]any{"e", []byte{1}, map[string]any{"_placeholder": true, "num": int64(9)}}, nil)}),
		"packed unnamed": pack(map[string]any{"opts": opts, "packet": packetValue("/", []any{[]byte{1}}, nil)}),
		"trailing bytes": base64.StdEncoding.EncodeToString([]byte{0x80, 0x80}),
		"deep msgpack":   base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x91", 1<<20))),
		"deep maps":      base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x81\xa1a", 1<<20))),
		"huge array":     base64.StdEncoding.EncodeToString([]byte{0xdd, 0xff, 0xff, 0xff, 0xff}),
		"huge string":    base64.StdEncoding.EncodeToString([]byte{0xdb, 0xff, 0xff, 0xff, 0xff}),
		"extension":      base64.StdEncoding.EncodeToString([]byte{0xd4, 0x05, 0x00}),
		"numeric key":    base64.StdEncoding.EncodeToString([]byte{0x81, 0x01, 0x01}),
	} {
		_, err := decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/", "type": "3", "data": data}))
		require.Error(t, err, name)
	}
	for _, kind := range []string{"", "x", "2", "7", "13"} {
		_, err := decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/", "type": kind, "data": nodeJSON}))
		require.Error(t, err, kind)
	}
	_, err := decodeEntry(rawOf(map[string]any{"uid": strings.Repeat("u", 300), "nsp": "/", "type": "3", "data": nodeJSON}))
	require.Error(t, err)
}

func binaryArgs(n int) []any {
	args := []any{"e"}
	for range n {
		args = append(args, []byte{1})
	}
	return args
}

func TestWhatLooksLikeAPlaceholderIsLeftAloneWithoutBinary(t *testing.T) {
	for _, args := range [][]any{
		binaryArgs(maxAttachments),
		{"e", map[string]any{"_placeholder": true, "num": int64(9)}},
		{"e", []byte{1}, map[string]any{"_placeholder": "true", "num": int64(9)}},
	} {
		_, err := bodyOf(args)
		require.NoError(t, err)
	}
}

// What Node's servers write of an application in JavaScript, which nobody holds to strings.
func TestRoomsAndFlagsOfOtherKinds(t *testing.T) {
	plain := map[string]any{
		"opts": map[string]any{
			"rooms": []any{"a", 7, 1.5, 9_007_199_254_740_991, 1e21, true, nil}, "except": []any{-8},
			"flags": map[string]any{"volatile": 1, "compress": "yes", "timeout": "1000", "local": nil, "more": []any{}},
		},
		"packet": map[string]any{"type": 2, "data": []any{"e"}},
	}
	text, err := json.Marshal(plain)
	require.NoError(t, err)
	packed, err := packMsgpack(plain)
	require.NoError(t, err)
	for _, data := range []string{string(text), base64.StdEncoding.EncodeToString(packed)} {
		e, err := decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/", "type": "3", "data": data}))
		require.NoError(t, err)
		require.Equal(t, []string{"a", "7", "1.5", "9007199254740991", "1e+21", "true", "null"}, e.opts.Rooms)
		require.Equal(t, []string{"-8"}, e.opts.Except)
		require.Equal(t, flags{}, e.opts.Flags)
	}
	e, err := decodeEntry(rawOf(map[string]any{
		"uid": "n", "nsp": "/", "type": "4", "data": `{"opts":{"rooms":[null]},"rooms":[7],"close":1}`,
	}))
	require.NoError(t, err)
	require.Equal(t, []string{"null"}, e.opts.Rooms, "an empty list would be everybody")
	require.Equal(t, []string{"7"}, e.rooms)
	require.Equal(t, socket.Room("7"), detailsFrom([]any{map[string]any{"id": "s", "rooms": []any{int64(7), []any{}}}})[0].Rooms().Keys()[0])
}

func TestOptionsSurviveBothForms(t *testing.T) {
	limit, yes := 1500*time.Millisecond, true
	o := optionsOf(&socket.BroadcastOptions{
		Rooms: types.NewSet[socket.Room]("a"), Except: types.NewSet[socket.Room]("b"),
		Flags: &socket.BroadcastFlags{
			WriteOptions: func() socket.WriteOptions {
				w := socket.WriteOptions{Volatile: true}
				w.Compress = &yes
				return w
			}(),
			Local: true, Broadcast: true, ExpectSingleResponse: true, Timeout: &limit,
		},
	})
	var plain any
	require.NoError(t, json.Unmarshal(o.append(nil), &plain))
	fromJSON, err := optionsFrom(plain)
	require.NoError(t, err)
	require.Equal(t, o, fromJSON)
	packed, err := packMsgpack(o.value())
	require.NoError(t, err)
	for _, ordered := range []bool{true, false} {
		v, err := unpackMsgpack(packed, ordered)
		require.NoError(t, err)
		back, err := optionsFrom(v)
		require.NoError(t, err)
		require.Equal(t, o, back)
	}
	require.Equal(t, limit, o.Flags.timeout(time.Hour))
	require.Equal(t, time.Minute, flags{}.timeout(time.Minute))
	require.Equal(t, options{}, optionsOf(nil))
	require.JSONEq(t, `{"rooms":[],"except":[],"flags":{}}`, string(options{}.append(nil)))
}

func TestNodeMessagesAreDecoded(t *testing.T) {
	payload, err := base64.StdEncoding.DecodeString(nodeFetch)
	require.NoError(t, err)
	m, err := unpackMessage(payload)
	require.NoError(t, err)
	require.Equal(t, "abcd", m.uid)
	require.Equal(t, typeFetchSockets, m.kind)
	require.Equal(t, "0011223344556677", m.requestID)
	o, err := optionsFrom(m.data["opts"])
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, o.Rooms)
	require.Equal(t, 200*time.Millisecond, o.Flags.timeout(0))

	packed, err := m.pack()
	require.NoError(t, err)
	again, err := unpackMessage(packed)
	require.NoError(t, err)
	require.Equal(t, m, again)

	for name, v := range map[string]any{
		"no map": []any{}, "no uid": map[string]any{"nsp": "/", "type": int64(7)},
		"no type": map[string]any{"uid": "u", "nsp": "/"},
		"long id": map[string]any{
			"uid": "u", "nsp": "/", "type": int64(7), "data": map[string]any{"requestId": strings.Repeat("x", 300)},
		},
	} {
		packed, err := packMsgpack(v)
		require.NoError(t, err)
		_, err = unpackMessage(packed)
		require.Error(t, err, name)
	}
	_, err = unpackMessage([]byte{0xc1})
	require.ErrorIs(t, err, errMsgpack)
}

// encoded returns what the library's own encoder writes for an event.
func encoded(packet *parser.Packet) []string {
	var texts []string
	for _, p := range parser.NewEncoder().Encode(packet) {
		texts = append(texts, p.String())
	}
	return texts
}

func TestFramesAreWhatTheLibraryWouldWrite(t *testing.T) {
	id := uint64(7)
	for name, c := range map[string]struct {
		nsp  string
		id   *uint64
		args func() []any
	}{
		"plain":     {nsp: "/", args: func() []any { return []any{"ev", "x", 1, true, nil, 2.5} }},
		"namespace": {nsp: "/admin", id: &id, args: func() []any { return []any{"ev", map[string]any{"b": 1, "a": []any{"é"}}} }},
		"binary": {nsp: "/", args: func() []any {
			return []any{"ev", []byte{1, 2}, map[string]any{"r": strings.NewReader("text"), "b": types.NewBytesBuffer([]byte{3})}}
		}},
		"binary in namespace": {nsp: "/n", id: &id, args: func() []any { return []any{"ev", []any{[]byte("x"), []byte("y")}} }},
	} {
		packet := &parser.Packet{Type: parser.EVENT, Nsp: c.nsp, Id: c.id, Data: c.args()}
		args, _, err := frozenArgs(&parser.Packet{Type: parser.EVENT, Data: c.args()})
		require.NoError(t, err, name)
		body, err := bodyOf(args)
		require.NoError(t, err, name)
		body.id = c.id
		f := newFrame(c.nsp, body, flags{})
		var texts []string
		for _, p := range f.library().packets {
			for range 2 { // each socket's reader is its own
				all, err := io.ReadAll(p.Clone())
				require.NoError(t, err)
				require.Equal(t, p.String(), string(all))
			}
			texts = append(texts, p.String())
		}
		require.Equal(t, encoded(packet), texts, name)
		require.Equal(t, len(f.frames) == 1, f.library().opts.WsPreEncodedFrame != nil, name)
		require.Equal(t, "ev", f.library().packet().Data.([]any)[0])
	}
}

func TestUnencodableValuesAreErrors(t *testing.T) {
	cycle := map[string]any{}
	cycle["self"] = cycle
	for name, value := range map[string]any{
		"function": func() {}, "channel": make(chan int), "cycle": cycle, "raw": json.RawMessage("{"),
		"reader": io.MultiReader(failingReader{}),
	} {
		args, binary, err := frozenArgs(&parser.Packet{Type: parser.EVENT, Data: []any{"ev", value}})
		if err == nil {
			_, err = encodeBroadcastData("/", options{}, args, binary, nil)
		}
		assert.Error(t, err, name)
	}
	for name, packet := range map[string]*parser.Packet{
		"no data": {Type: parser.EVENT}, "no event": {Type: parser.EVENT, Data: []any{}},
		"no array": {Type: parser.EVENT, Data: "x"}, "an ack": {Type: parser.ACK, Data: []any{"ev"}},
	} {
		_, _, err := frozenArgs(packet)
		require.Error(t, err, name)
	}
	_, err := bodyOf([]any{"connect"})
	require.Error(t, err)
	require.Nil(t, encodable(func() {}))
	require.Nil(t, encodable(cycle))
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestMsgpackTakesValuesAsJSONShowsThem(t *testing.T) {
	type named struct {
		A int       `json:"a"`
		T time.Time `json:"t"`
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	packed, err := packMsgpack([]any{
		named{A: 1, T: at},
		json.RawMessage(`{"n":-3,"u":18446744073709551615,"f":1e3}`),
		int8(4), "s", 1.5, true, nil,
		[]byte{9},
		uint64(1 << 63), 7, json.Number("-2"),
	})
	require.NoError(t, err)
	v, err := unpackMsgpack(packed, false)
	require.NoError(t, err)
	list := v.([]any)
	require.Equal(t, map[string]any{"a": int64(1), "t": "2026-01-02T03:04:05Z"}, list[0])
	require.Equal(t, map[string]any{"n": int64(-3), "u": uint64(18446744073709551615), "f": 1000.0}, list[1])
	require.Equal(t, []any{int64(4), "s", 1.5, true, nil, []byte{9}, uint64(1 << 63), int64(7), int64(-2)}, list[2:])
	_, err = packMsgpack(json.Number("1e400"))
	require.Error(t, err)
	for at, packed := range map[string][]byte{
		"1970-01-01T00:00:01.000Z": {0xd6, 0xff, 0, 0, 0, 1},
		"1970-01-01T00:00:02.500Z": {0xc7, 12, 0xff, 0x1d, 0xcd, 0x65, 0, 0, 0, 0, 0, 0, 0, 0, 2},
	} {
		v, err := unpackMsgpack(packed, false)
		require.NoError(t, err)
		require.Equal(t, at, v)
	}
}

func TestALengthBeyondTheMessageAllocatesNothing(t *testing.T) {
	for name, packed := range map[string][]byte{
		"bytes":   {0xc6, 0x7f, 0xff, 0xff, 0xff},
		"string":  {0xdb, 0x7f, 0xff, 0xff, 0xff},
		"key":     {0x81, 0xdb, 0x7f, 0xff, 0xff, 0xff},
		"array":   {0xdd, 0x7f, 0xff, 0xff, 0xff},
		"map":     {0xdf, 0x7f, 0xff, 0xff, 0xff},
		"another": {0x92, 0x01, 0xc6, 0x7f, 0xff, 0xff, 0xff, 0x00},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := unpackMsgpack(packed, true)
		runtime.ReadMemStats(&after)
		require.Error(t, err, name)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<16), name)
	}
}

func TestStreamIDs(t *testing.T) {
	for text, want := range map[string]streamID{"0-0": {}, "5-7": {5, 7}, "9": {ms: 9}, "10-0": {ms: 10}} {
		id, err := parseStreamID(text)
		require.NoError(t, err)
		require.Equal(t, want, id)
	}
	for _, text := range []string{"", "-", "a-1", "1-b", "1-2-3", "99999999999999999999-0", "-1"} {
		_, err := parseStreamID(text)
		require.Error(t, err, text)
	}
	require.Negative(t, streamID{9, 0}.compare(streamID{10, 0}), "ids are numbers, not text")
	require.Positive(t, streamID{9, 10}.compare(streamID{9, 9}))
	require.Equal(t, streamID{9, 9}, streamID{9, 10}.before())
	require.Equal(t, uint64(8), streamID{9, 0}.before().ms)
	require.Equal(t, streamID{}, streamID{}.before())
	require.Equal(t, "9-10", streamID{9, 10}.String())
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add("3", nodeJSON)
	f.Add("3", nodeBinary)
	f.Add("4", `{"opts":{"rooms":[],"except":[],"flags":{}},"rooms":["a"]}`)
	f.Add("6", `{"opts":{"rooms":[]},"close":true}`)
	f.Add("5", `{"opts":{"rooms":[1,null]},"rooms":[7],"close":1}`)
	f.Add("3", `{"opts":{"rooms":[],"flags":{"timeout":1e99}},"packet":{"type":2,"data":["\"\\",1],"id":1}}`)
	f.Fuzz(func(t *testing.T, kind, data string) {
		e, err := decodeEntry(rawOf(map[string]any{"uid": "n", "nsp": "/n", "type": kind, "data": data}))
		if err != nil || e.kind != typeBroadcast {
			return
		}
		// What is accepted is framed as a packet that a client's parser accepts.
		fr := newFrame("/n", e.packet, e.opts.Flags)
		text := fr.library().packets[0].String()
		require.True(t, utf8.ValidString(text))
		decoder := parser.NewDecoder()
		require.NoError(t, decoder.Add(text), text)
		require.LessOrEqual(t, len(e.packet.attachments), maxAttachments)
		decoder.Destroy()
		fr.library().packet()
		_ = e.opts.Flags.timeout(time.Second)
	})
}

func FuzzUnpackMessage(f *testing.F) {
	fetch, _ := base64.StdEncoding.DecodeString(nodeFetch)
	f.Add(fetch)
	binary, _ := base64.StdEncoding.DecodeString(nodeBinary)
	f.Add(binary)
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := unpackMessage(payload)
		if err != nil {
			return
		}
		_, _ = optionsFrom(m.data["opts"])
		_ = detailsFrom(m.data["sockets"])
		packed, err := m.pack()
		require.NoError(t, err)
		again, err := unpackMessage(packed)
		require.NoError(t, err)
		require.Equal(t, m.kind, again.kind)
	})
}

func FuzzEncodeBroadcast(f *testing.F) {
	f.Add("ev", "room", `{"a":1}`)
	f.Add("e\"\\v", "\u2028", ` [1] `)
	f.Fuzz(func(t *testing.T, event, room, arg string) {
		fields, err := EncodeBroadcast("n", Broadcast{
			Event: event, Rooms: []string{room}, Args: []json.RawMessage{json.RawMessage(arg)},
		})
		if err != nil {
			return
		}
		e, err := decodeEntry(rawOf(fieldMap(fields)))
		require.NoError(t, err)
		require.Equal(t, []string{room}, e.opts.Rooms)
		var args []json.RawMessage
		require.NoError(t, json.Unmarshal(e.packet.array, &args))
		var name string
		require.NoError(t, json.Unmarshal(args[0], &name))
		require.Equal(t, event, name)
		if arg != "" {
			require.Equal(t, strings.Trim(arg, " \t\r\n"), string(args[1]))
			require.Contains(t, string(e.packet.array), arg)
		}
	})
}

func TestANumberThatJSONLacksIsNullAsInNode(t *testing.T) {
	packed, err := packMsgpack(map[string]any{
		"opts": options{}.value(), "packet": packetValue("/", []any{"ev", math.NaN(), math.Inf(1), []byte{1}}, nil),
	})
	require.NoError(t, err)
	e, err := decodeEntry(rawOf(map[string]any{
		"uid": "n", "nsp": "/", "type": "3", "data": base64.StdEncoding.EncodeToString(packed),
	}))
	require.NoError(t, err)
	require.Equal(t, `["ev",null,null,{"_placeholder":true,"num":0}]`, string(e.packet.array))
}
