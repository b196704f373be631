package auth

import (
	"encoding/json"
	"testing"
)

// members reads what encoding/json reads, less what says something twice.
func FuzzMembers(f *testing.F) {
	for _, seed := range []string{
		`{"a":1,"b":[{}],"c":"\ud800"}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, ` null `, `{}`, `{"a":1,}`, `{,"a":1}`, `{"a" 1}`,
		`{"a":1 "b":2}`, `{"a":1}{}`, `{"a":1}]`, `[1]`, `{1:2}`, `{"a":nul}`, `{"":{}}`, "{\"a\xff\":1}", `{"a":1`, `{"a"`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := members(raw)
		var want map[string]json.RawMessage
		if errWant := json.Unmarshal(raw, &want); errWant != nil {
			if err == nil {
				t.Fatalf("%q was read, though %v", raw, errWant)
			}
			return
		}
		if err != nil {
			if err.Error() != "a claim stands twice" {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if len(got) != len(want) {
			t.Fatalf("%q: %d members, want %d", raw, len(got), len(want))
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Fatalf("%q: %s is %q, want %q", raw, name, got[name], value)
			}
		}
	})
}
