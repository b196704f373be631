package schemas

import (
	"encoding/json"
	"errors"
	"testing"
)

// FuzzCheck: whatever the data is, checking it neither panics nor fails with anything but a violation, which is short and says nothing of the data.
func FuzzCheck(f *testing.F) {
	for _, data := range []string{
		`{"solicitud_id":"S","advisor_id":"A","price":1}`, `{"user_ids":[1,"a",{}],"text":"x"}`, `{"price":-1E-400000000}`,
		`{"stars":5.0,"solicitud_id":1e2}`, `{"text":"\ud800"}`, `{"a":{"a":[[[[]]]]}}`, `{"price":0e+0}`,
	} {
		f.Add(uint8(0), data)
		f.Add(uint8(5), data)
	}
	s := compiled(f)
	names := append(Names(dirEvents), "oferta_x", "notificacion_x")
	f.Fuzz(func(t *testing.T, which uint8, data string) {
		if !json.Valid([]byte(data)) {
			return
		}
		_, err := s.Check(names[int(which)%len(names)], json.RawMessage(data), false)
		if violation := (&ViolationError{}); err != nil && (!errors.As(err, &violation) || violation.Problem == "") {
			t.Fatal(err)
		} else if err != nil && !said.MatchString(err.Error()) {
			t.Fatalf("it says %q", err)
		}
	})
}
