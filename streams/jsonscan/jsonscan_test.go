package jsonscan

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

var texts = []string{
	`[]`, `{}`, `[1,-0,0.5,1e9,1E-2,-12.25e+3]`, `{"a":[{"b":null}],"c":true,"":false}`, `["\u00e9\ud800\"\\/"]`, " [ 1 ,\t{ \"a\" :\r\n2 } ] ",
	`01`, `1.`, `.5`, `-`, `1e`, `[1,]`, `{"a"}`, `{"a":1,}`, `{a:1}`, `"\x"`, `"\u12g4"`, `"\u123`, "\"\n\"", `tru`, `nul`, `[`, `{`, `"`, `+1`, ``, `[1 2]`,
	"\"\xff\"", `{"a":1} {`, `{"a":1}x`, `{ }`, `{"\u0061":1,"a":2}`, `{"a":1]`, `{"\ud800":0}`,
	nested(MaxDepth), nested(MaxDepth + 1), `{"a":` + nested(MaxDepth-1) + `}`, `{"a":` + nested(MaxDepth) + `}`,
	`{"a":` + strings.Repeat("[", MaxDepth-1) + "1" + strings.Repeat("]", MaxDepth-1) + `}`,
}

// agree compares with encoding/json, which replaces what is not UTF-8.
func agree(t *testing.T, text string) {
	data := []byte(text)
	valid := json.Valid(data) && utf8.Valid(data)
	require.Equal(t, valid, Valid(data), "%.200q", text)
	var want map[string]json.RawMessage
	object := valid && json.Unmarshal(data, &want) == nil && want != nil
	require.Equal(t, object, Object(data), "%.200q", text)
	got := map[string]json.RawMessage{}
	ok := Members(data, func(name string, value []byte) { got[name] = value })
	if object {
		require.True(t, ok, "%.200q", text)
		require.Equal(t, want, got, "%.200q", text)
	} else if utf8.Valid(data) {
		require.False(t, ok, "%.200q", text)
	}
	require.Equal(t, text, string(data), "never changed")
}

func TestAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range texts {
		agree(t, text)
	}
}

func TestValueEndsBehindIt(t *testing.T) {
	require.Equal(t, 6, Value(`x[1,2]y`, 1, 1))
	require.Equal(t, -1, Value(`[[]]`, 0, 1))
	require.Equal(t, 4, Value(`[[]]`, 0, 2))
	require.Equal(t, 3, String(`"a"b`, 0))
}

func FuzzJSON(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	f.Fuzz(agree)
}

func BenchmarkMembers(b *testing.B) {
	data := []byte(`{"user_id":"u17","text":"` + strings.Repeat("x", 150) + `","n":12}`)
	b.ReportAllocs()
	for b.Loop() {
		if !Members(data, func(string, []byte) {}) {
			b.Fatal("not valid")
		}
	}
}
