package ingress

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Debian's own, as python-socketio's in the end-to-end tests.
const python3 = "/usr/bin/python3"

// pickled has Python pickle expressions, one a line of hexadecimal digits each.
func pickled(tb testing.TB, protocol string, expressions ...string) []string {
	tb.Helper()
	script := "import pickle,sys\nfor line in sys.stdin: print(pickle.dumps(eval(line), protocol=" + protocol + ").hex())"
	cmd := exec.CommandContext(tb.Context(), python3, "-c", script)
	cmd.Stdin = strings.NewReader(strings.Join(expressions, "\n") + "\n")
	var out, failed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failed
	require.NoError(tb, cmd.Run(), failed.String())
	lines := strings.Fields(out.String())
	require.Len(tb, lines, len(expressions))
	for i, line := range lines {
		raw, err := hex.DecodeString(line)
		require.NoError(tb, err)
		lines[i] = string(raw)
	}
	return lines
}

func TestPicklesOfEachProtocolAreReadAsJSON(t *testing.T) {
	shared := `(lambda x: {'event': 'e', 'data': [x, x]})({'a': [1]})`
	cases := []struct{ expression, want string }{
		{`{'method': 'emit', 'event': 'e', 'data': {'n': 1, 'text': 'ñandú <&>'}, 'room': None}`, `{"method":"emit","event":"e","data":[{"n":1,"text":"ñandú <&>"}],"binary":false,"room":null}`},
		{`{'data': None}`, `{"data":null,"binary":false}`},
		{`{'data': ()}`, `{"data":null,"binary":false}`},
		{`{'data': ('a', 2, [3])}`, `{"data":["a",2,[3]],"binary":false}`},
		{`{'data': [1, (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11)]}`, `{"data":[[1,[2],[3,4],[5,6,7],[8,9,10,11]]],"binary":false}`},
		{`{'data': [0, 255, 256, 65535, 65536, -1, -2147483648, 2**31, 2**63, -2**63, 10**40, -10**40]}`, `{"data":[[0,255,256,65535,65536,-1,-2147483648,2147483648,9223372036854775808,-9223372036854775808,10000000000000000000000000000000000000000,-10000000000000000000000000000000000000000]],"binary":false}`},
		{`{'data': [True, False, 1.5, -0.25, 1e300]}`, `{"data":[[true,false,1.5,-0.25,1e+300]],"binary":false}`},
		{`{'data': {1: 'a', 'b': {}}, 'room': ['x', 'y'], 'skip_sid': 's'}`, `{"data":[{"1":"a","b":{}}],"binary":false,"room":["x","y"],"skip_sid":"s"}`},
		{shared, `{"event":"e","data":[[{"a":[1]},{"a":[1]}]],"binary":false}`},
		{`{'data': 'x' * 70000}`, `{"data":["` + strings.Repeat("x", 70000) + `"],"binary":false}`},
		{`{'data': list(range(2000))}`, ``},
	}
	expressions := make([]string, len(cases))
	for i, c := range cases {
		expressions[i] = c.expression
	}
	for _, protocol := range []string{"2", "3", "4", "5"} {
		for i, payload := range pickled(t, protocol, expressions...) {
			got, err := unpickle(payload)
			require.NoError(t, err, cases[i].expression)
			require.True(t, json.Valid([]byte(got)))
			if cases[i].want != "" {
				require.Equal(t, cases[i].want, got, protocol)
			}
		}
	}
	// Before protocol 3 bytes are a call.
	for _, protocol := range []string{"3", "4", "5"} {
		got, err := unpickle(pickled(t, protocol, `{'data': {'f': b'\x01\x02', 'g': bytearray(b'\x03') if `+protocol+` == 5 else b'\x03'}, 'binary': 1}`)[0])
		require.NoError(t, err)
		require.Equal(t, `{"data":[[{"f":{"_placeholder":true,"num":0},"g":{"_placeholder":true,"num":1}}],"AQI=","Aw=="],"binary":true}`, got) //nolint:testifylint // as above
	}
}

func TestAPickleIsEmittedAsItsJSON(t *testing.T) {
	pickle := pickled(t, "4", `{'method': 'emit', 'event': 'e', 'data': {'n': 1}, 'namespace': '/', 'room': 'r', 'skip_sid': None, 'callback': None, 'host_id': 'h'}`)[0]
	got, err := parser.python(pickle)
	require.NoError(t, err)
	want, err := parser.python(`{"method":"emit","event":"e","data":{"n":1},"namespace":"/","room":"r"}`)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestPicklesOfMoreThanDataAreRefused(t *testing.T) {
	for _, protocol := range []string{"2", "3", "4", "5"} {
		for i, payload := range pickled(
			t, protocol,
			`{'data': __import__('datetime').datetime(2026, 1, 1)}`, `{'data': {1, 2}}`, `{'data': complex(1, 2)}`, `{'data': print}`,
			`type('X', (), {'__reduce__': lambda self: (__import__('os').system, ('id',))})()`,
		) {
			_, err := unpickle(payload)
			require.ErrorIs(t, err, errPickle, "protocol %s, expression %d", protocol, i)
		}
	}
	for _, protocol := range []string{"0", "1"} { // of Python before 3.0
		payload := pickled(t, protocol, `{'method': 'emit', 'event': 'e', 'data': 1}`)[0]
		_, err := parser.python(payload)
		require.ErrorIs(t, err, errPickle)
	}
}

func TestHostilePicklesCostLittle(t *testing.T) {
	bomb := pickled(t, "4", `(lambda f: {'event': 'e', 'data': f(f, 40)})(lambda f, n: (lambda x: [x, x])(f(f, n - 1)) if n else 'x')`)[0]
	for name, payload := range map[string]string{
		"a list in itself":           "\x80\x04}X\x04\x00\x00\x00data]q\x00h\x00as.",
		"a value that doubles":       bomb,
		"too deep":                   "\x80\x04}X\x04\x00\x00\x00data" + strings.Repeat("]", 1000) + strings.Repeat("a", 999) + "s.",
		"a length that is a lie":     "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
		"another":                    "\x80\x04X\xff\xff\xff\xffab.",
		"a huge integer":             "\x80\x04}X\x04\x00\x00\x00data\x8b\x00\x00\x01\x00" + strings.Repeat("\xff", 65536) + "s.",
		"no number":                  "\x80\x04}X\x04\x00\x00\x00dataG\x7f\xf8\x00\x00\x00\x00\x00\x00s.",
		"half a character":           "\x80\x04}X\x04\x00\x00\x00dataX\x03\x00\x00\x00\xed\xa0\x80s.",
		"an unknown name":            "\x80\x04h\x05.",
		"nothing to fill":            "\x80\x04Na.",
		"a mark as a value":          "\x80\x04(q\x00.",
		"no end":                     "\x80\x04}",
		"an empty stack":             "\x80\x04.",
		"no dictionary":              "\x80\x04].",
		"a key without value":        "\x80\x04}(X\x04\x00\x00\x00datau.",
		"a dictionary's odd key":     "\x80\x04}NNs.",
		"bytes for a room":           "\x80\x04}X\x04\x00\x00\x00roomC\x01as.",
		"a tuple without its values": "\x80\x04\x87.",
		"the same bytes many times":  "\x80\x04}X\x04\x00\x00\x00data](B\x00\x00\x08\x00" + strings.Repeat("b", 512<<10) + "q\x00" + strings.Repeat("h\x00", 1000) + "es.",
		"much that is not used":      "\x80\x04(" + strings.Repeat("}", 600_000) + "t}.",
		"many values":                "\x80\x04}X\x04\x00\x00\x00data](" + strings.Repeat("N", 200_000) + "es.",
	} {
		_, err := unpickle(payload)
		require.ErrorIs(t, err, errInvalid, name)
	}
}

func FuzzUnpickle(f *testing.F) {
	for _, protocol := range []string{"2", "3", "4", "5"} {
		for _, payload := range pickled(f, protocol, `{'method': 'emit', 'event': 'e', 'data': ({'n': 10**20, 'f': 1.5}, [None, True], 'ñ'), 'room': 'r'}`, `{'data': {'b': b'\x01'}}`) {
			f.Add(payload)
		}
	}
	f.Fuzz(func(t *testing.T, payload string) {
		text, err := unpickle(payload)
		if err != nil {
			require.NotEqual(t, Accepted, outcomeOf(err))
			return
		}
		require.True(t, json.Valid([]byte(text)), text)
		require.Less(t, len(text), 8*maxPickleText)
	})
}
