package ingress

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var parser = encoder{uid: "ingress", namespace: "/", most: DefaultConfig().forClients()}

// fieldsOf are an entry's fields by name.
func fieldsOf(pairs []string) map[string]string {
	fields := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		fields[pairs[i]] = pairs[i+1]
	}
	return fields
}

func TestWhatPythonPublishes(t *testing.T) {
	const open = `{"opts":{"rooms":%s,"except":%s,"flags":{}},%s}`
	for name, c := range map[string]struct{ payload, kind, data string }{
		"one argument": {
			`{"method":"emit","event":"e","data":{"b":1,"a":9007199254740993},"namespace":"/","room":null,"skip_sid":null,"callback":null,"host_id":"h"}`, "3",
			fmt.Sprintf(open, `[]`, `[]`, `"packet":{"type":2,"data":["e",{"b":1,"a":9007199254740993}],"nsp":"/"}`),
		},
		"a list is one argument": {
			`{"method":"emit","event":"e","data":[1,2],"room":"r"}`, "3",
			fmt.Sprintf(open, `["r"]`, `[]`, `"packet":{"type":2,"data":["e",[1,2]],"nsp":"/"}`),
		},
		"arguments, from 5.14.2 on": {
			`{"method":"emit","event":"e","binary":false,"data":[1,[2]],"room":["r","s"],"skip_sid":["x"]}`, "3",
			fmt.Sprintf(open, `["r","s"]`, `["x"]`, `"packet":{"type":2,"data":["e",1,[2]],"nsp":"/"}`),
		},
		"none": {
			`{"method":"emit","event":"e","binary":false,"data":[null],"skip_sid":"x"}`, "3",
			fmt.Sprintf(open, `[]`, `["x"]`, `"packet":{"type":2,"data":["e"],"nsp":"/"}`),
		},
		"none, before": {`{"method":"emit","event":"e","data":null}`, "3", fmt.Sprintf(open, `[]`, `[]`, `"packet":{"type":2,"data":["e"],"nsp":"/"}`)},
		"enter_room": {
			`{"method":"enter_room","sid":"s1","room":"r","namespace":"/","host_id":"h"}`, "4", fmt.Sprintf(open, `["s1"]`, `[]`, `"rooms":["r"]`),
		},
		"leave_room": {`{"method":"leave_room","sid":"s1","room":"r"}`, "5", fmt.Sprintf(open, `["s1"]`, `[]`, `"rooms":["r"]`)},
		"close_room": {`{"method":"close_room","room":"r"}`, "5", fmt.Sprintf(open, `["r"]`, `[]`, `"rooms":["r"]`)},
		"disconnect": {`{"method":"disconnect","sid":"s1"}`, "6", fmt.Sprintf(open, `["s1"]`, `[]`, `"close":false`)},
	} {
		pairs, err := parser.python(c.payload)
		require.NoError(t, err, name)
		fields := fieldsOf(pairs)
		require.Equal(t, c.kind, fields["type"], name)
		require.Equal(t, c.data, fields["data"], name)
		require.Equal(t, "/", fields["nsp"], name)
	}
	pairs, err := parser.python(`{"method":"emit","event":"e","binary":true,"data":[[{"f":{"_placeholder":true,"num":0}}],"AQL/"]}`)
	require.NoError(t, err)
	packed, err := base64.StdEncoding.DecodeString(fieldsOf(pairs)["data"])
	require.NoError(t, err)
	require.Contains(t, string(packed), "\xc4\x03\x01\x02\xff")
}

func TestPicklesThatAreNoneOrMoreThanData(t *testing.T) {
	for payload, want := range map[string]Outcome{
		"\x80\x04\x95\x01":                     Invalid,
		"\x80\x04cposix\nsystem\n.":            Pickle,
		"(dp0\nS'method'\np1\nS'emit'\np2\ns.": Pickle,
	} {
		_, err := parser.python(payload)
		require.Equal(t, want, outcomeOf(err), "%q: %v", payload, err)
	}
}

func TestWhatPythonMayNotPublish(t *testing.T) {
	for payload, want := range map[string]Outcome{
		"":                             Invalid,
		`[]`:                           Invalid,
		`{"method":"emit","event":"e"`: Invalid,
		`{"method":"emit","data":1}`:   Invalid,
		`{"method":"emit","event":5}`:  Invalid,
		`{"method":"emit","event":""}`: Invalid,
		"{\"method\":\"emit\",\"event\":\"\xff\"}":       Invalid,
		`{"method":"emit","event":"a\nb"}`:               Invalid,
		`{"method":"emit","event":"e","room":[]}`:        Invalid,
		`{"method":"emit","event":"e","room":[null]}`:    Invalid,
		`{"method":"emit","event":"e","room":5}`:         Invalid,
		`{"method":"emit","event":"e","room":""}`:        Invalid,
		`{"method":"emit","event":"connected"}`:          Reserved,
		`{"method":"emit","event":"token_expired"}`:      Reserved,
		`{"method":"emit","event":"disconnect"}`:         Reserved,
		`{"method":"emit","event":"e","namespace":"/x"}`: Namespace,

		`{"method":"emit","event":"e","binary":true,"data":[[{"_placeholder":true,"num":1}],"AQ=="]}`: Invalid,
		`{"method":"emit","event":"e","binary":true,"data":[[],"%"]}`:                                 Invalid,
		`{"method":"emit","event":"e","binary":true,"data":[]}`:                                       Invalid,

		`{"method":"disconnect"}`:                            Invalid, // would be everybody
		`{"method":"disconnect","sid":"s","namespace":"/x"}`: Namespace,
		`{"method":"enter_room","sid":"s"}`:                  Invalid,
		`{"method":"enter_room","room":"r"}`:                 Invalid,
		`{"method":"close_room"}`:                            Invalid,
		`{"method":"callback","host_id":"h","args":[]}`:      Ignored,
		`{"method":"dance"}`:                                 Unsupported,
		`{}`:                                                 Invalid,
	} {
		_, err := parser.python(payload)
		require.Error(t, err, payload)
		require.Equal(t, want, outcomeOf(err), "%q: %v", payload, err)
	}
}

func TestWhatEmittersRequest(t *testing.T) {
	const channel = "socket.io-request#/#"
	for payload, kind := range map[string]string{
		`{"type":2,"opts":{"rooms":["r1"],"except":["x"]},"rooms":["a","b"]}`: "4",
		`{"type":2,"opts":{"rooms":[7,null],"except":[-1.5]},"rooms":[42]}`:   "4",
		`{"type":3,"opts":{"rooms":[],"except":[]},"rooms":["a"]}`:            "5",
		`{"type":4,"opts":{"rooms":["sid1"],"except":[]},"close":true}`:       "6",
	} {
		pairs, err := parser.requested(channel, payload)
		require.NoError(t, err, payload)
		require.Equal(t, kind, fieldsOf(pairs)["type"])
	}
	for payload, want := range map[string]Outcome{
		`{"uid":"emitter","type":6,"data":["hi",1]}`:      Unsupported,
		`{"uid":"u","requestId":"1","type":0,"rooms":[]}`: Unsupported,
		`{"uid":"u","requestId":"1","type":2,"sid":"s"}`:  Unsupported, // asks for an answer
		`{"opts":{"rooms":[]}}`:                           Invalid,
		`{"type":4,"opts":{}}`:                            Invalid, // would be everybody
		`{"type":4,"opts":{"rooms":[[]]}}`:                Invalid,
		`{"type":4,"opts":{"rooms":"r"}}`:                 Invalid,
		`{"type":2,"opts":{"rooms":["r"]},"rooms":[]}`:    Invalid,
		"{\"type\":4,\"opts\":{\"rooms\":[\"\xff\"]}}":    Invalid,
		`\x92`: Invalid,
	} {
		_, err := parser.requested(channel, payload)
		require.Error(t, err, payload)
		require.Equal(t, want, outcomeOf(err), "%q: %v", payload, err)
	}
	pairs, err := parser.requested(channel, `{"type":2,"opts":{"rooms":[7,null],"except":[-1.5]},"rooms":[42]}`)
	require.NoError(t, err)
	require.JSONEq(t, `{"opts":{"rooms":["7","null"],"except":["-1.5"],"flags":{}},"rooms":["42"]}`, fieldsOf(pairs)["data"])
	_, err = parser.requested("socket.io-request#/admin#", `{"type":4,"opts":{"rooms":[]}}`)
	require.ErrorIs(t, err, errNamespace)
}

// A message within its bound may be several times as much for a client, whose connection would be closed for it.
func TestWhatClientsWouldBeSentIsBounded(t *testing.T) {
	const one = `{"_placeholder":true,"num":0}`
	file := base64.StdEncoding.EncodeToString(make([]byte, 600<<10))
	for _, message := range []string{
		`{"method":"emit","event":"e","binary":true,"data":[[` + one + `,` + one + `],"` + file + `"]}`,
		`{"method":"emit","event":"e","binary":true,"data":[[` + strings.Repeat(one+`,`, 10) + one + `],"AQ=="]}`,
		`{"method":"emit","event":"e","data":"` + strings.Repeat("x", 1<<20) + `"}`,
	} {
		_, err := parser.python(message)
		require.Equal(t, TooLarge, outcomeOf(err), "%v", err)
	}
	_, err := parser.python(`{"method":"emit","event":"e","binary":true,"data":[[` + one + `],"` + file + `"]}`)
	require.NoError(t, err)
	nils := append([]byte("\x93\xa1u\x83\xa4type\x02\xa3nsp\xa1/\xa4data\x92\xa1e\xdd\x00\x08\x00\x00"), bytes.Repeat([]byte{0xc0}, 512<<10)...)
	_, err = parser.emitted(string(nils) + "\x81\xa5rooms\x90")
	require.Equal(t, TooLarge, outcomeOf(err), "%v", err)
}

func TestAPanicCostsTheMessageAlone(t *testing.T) {
	_, err := caught(slog.New(slog.DiscardHandler), Python, func() ([]string, error) { panic("a fault") })
	require.ErrorIs(t, err, errPanic)
	require.Equal(t, Panicked, outcomeOf(err))
}

func TestNamesAreBounded(t *testing.T) {
	for _, message := range []string{
		`{"method":"emit","event":"` + strings.Repeat("e", maxEventName+1) + `"}`,
		`{"method":"emit","event":"e","room":"` + strings.Repeat("r", maxRoomName+1) + `"}`,
		`{"method":"emit","event":"e","room":["r"` + strings.Repeat(`,"r"`, maxRooms) + `]}`,
	} {
		_, err := parser.python(message)
		require.Equal(t, Invalid, outcomeOf(err))
	}
}

// What the gateway tells clients itself, nobody else can tell them.
func TestTheGatewaysOwnEventsAreReserved(t *testing.T) {
	files, err := filepath.Glob("../../node/*.go")
	require.NoError(t, err)
	emits := regexp.MustCompile(`(?:\.emit\([\w.]+, |event = |return )"([a-z_]{4,})"`)
	var found []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !strings.Contains(string(text), ".emit(") && !strings.Contains(string(text), "event = ") && !strings.Contains(string(text), "connectedEvent") {
			continue
		}
		for _, m := range emits.FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
	}
	require.Subset(t, found, []string{"connected", "error", "pong", "token_expired", "token_expiring", "unsubscribed", "user_joined"})
	for _, name := range found {
		_, err := parser.python(`{"method":"emit","event":"` + name + `"}`)
		require.ErrorIs(t, err, errReserved, name)
	}
}

func FuzzPython(f *testing.F) {
	for _, seed := range []string{
		`{"method":"emit","event":"e","data":{"a":1},"namespace":"/","room":["r"],"skip_sid":"x","callback":null,"host_id":"h"}`,
		`{"method":"emit","event":"e","binary":true,"data":[[{"f":{"_placeholder":true,"num":0}}],"AQL/"]}`,
		`{"method":"emit","event":"e","binary":false,"data":[1,null]}`, `{"method":"close_room","room":"r"}`,
		`{"method":"disconnect","sid":"s1"}`, "\x80\x04}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) { entryOrReason(t, payload, parser.python) })
}

func FuzzRequest(f *testing.F) {
	f.Add(`{"type":2,"opts":{"rooms":["r1"],"except":["x"]},"rooms":["a","b"]}`)
	f.Add(`{"type":4,"opts":{"rooms":["sid1"],"except":[]},"close":true}`)
	f.Fuzz(func(t *testing.T, payload string) {
		entryOrReason(t, payload, func(p string) ([]string, error) { return parser.requested("socket.io-request#/#", p) })
	})
}

func FuzzEmitted(f *testing.F) {
	for _, seed := range []string{
		"k6dlbWl0dGVyg6R0eXBlAqRkYXRhkqR0d28xpGxhc3SjbnNwoS+DpXJvb21zkKVmbGFnc4CmZXhjZXB0kA==",
		"k6dlbWl0dGVyg6R0eXBlAqRkYXRhk6NiaW6BoWbEAwEC/9b/AAAAAKNuc3ChL4Olcm9vbXOQpWZsYWdzgKZleGNlcHSQ",
	} {
		payload, err := base64.StdEncoding.DecodeString(seed)
		require.NoError(f, err)
		f.Add(string(payload))
	}
	f.Fuzz(func(t *testing.T, payload string) { entryOrReason(t, payload, parser.emitted) })
}

// entryOrReason holds that a payload becomes an entry of the served namespace, or is refused with a reason.
func entryOrReason(t *testing.T, payload string, parse func(string) ([]string, error)) {
	t.Helper()
	pairs, err := parse(payload)
	if err != nil {
		require.NotEqual(t, Accepted, outcomeOf(err))
		return
	}
	fields := fieldsOf(pairs)
	require.Equal(t, "/", fields["nsp"])
	require.NotEmpty(t, fields["data"])
}
