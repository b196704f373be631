package schemas

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// ViolationError says where data does not keep its schema, and which rule, but nothing of what stands there.
type ViolationError struct {
	// Pointer is the place, as a JSON pointer; empty for the whole.
	Pointer string
	// Problem is what is wrong with it, in words.
	Problem string
	// More is how many other places there are.
	More int
}

// Error says all that.
func (e *ViolationError) Error() string {
	text := cmp.Or(e.Pointer, "the data") + " " + e.Problem
	if e.More > 0 {
		text += ", and " + strconv.Itoa(e.More) + " more"
	}
	return text
}

// violation turns the library's error into ours.
func violation(err error) error {
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return &ViolationError{Problem: "cannot be held against its schema"}
	}
	all := leaves(nil, invalid)
	slices.SortFunc(all, func(a, b ViolationError) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Problem, b.Problem))
	})
	all = slices.CompactFunc(all, func(a, b ViolationError) bool { return a.Pointer == b.Pointer })
	first := all[0]
	first.More = len(all) - 1
	return &first
}

// leaves are the innermost faults: of alternatives, what each of them lacks.
func leaves(all []ViolationError, e *jsonschema.ValidationError) []ViolationError {
	if len(e.Causes) == 0 {
		return append(all, ViolationError{Pointer: pointer(e.InstanceLocation), Problem: problem(e.ErrorKind)})
	}
	for _, cause := range e.Causes {
		all = leaves(all, cause)
	}
	return all
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointer names only what schemas name, and indices: nothing else is looked into.
func pointer(location []string) string {
	var b strings.Builder
	for _, step := range location {
		b.WriteByte('/')
		b.WriteString(pointerEscapes.Replace(step))
	}
	return b.String()
}

// problem never uses the library's own words, some of which quote the data.
func problem(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Required:
		return "lacks " + strings.Join(k.Missing, ", ")
	case *kind.Type:
		return "is " + k.Got + " instead of " + strings.Join(k.Want, " or ")
	}
	if path := k.KeywordPath(); len(path) > 0 {
		return "is against " + path[len(path)-1]
	}
	return "is not allowed"
}

// mostExponent is the decimal exponent up to which numbers are compared exactly: with greater ones that takes seconds.
const mostExponent = 400

// mostItems is how many elements of an array are looked at: one more than any schema allows, for each costs microseconds.
const mostItems = 1001

// tame brings numbers with an absurd exponent and arrays within those bounds, in place.
func tame(value any) any {
	switch v := value.(type) {
	case json.Number:
		return tameNumber(v)
	case []any:
		v = v[:min(len(v), mostItems)]
		for i := range v {
			v[i] = tame(v[i])
		}
		return v
	case map[string]any:
		for name := range v {
			v[name] = tame(v[name])
		}
	}
	return value
}

func tameNumber(n json.Number) json.Number {
	at := strings.IndexAny(string(n), "eE")
	if at < 0 {
		return n
	}
	exponent, err := strconv.Atoi(string(n[at+1:]))
	if err == nil && math.Abs(float64(exponent)) <= mostExponent {
		return n
	}
	if strings.HasPrefix(string(n[at+1:]), "-") {
		return n[:at] + "e-" + json.Number(strconv.Itoa(mostExponent))
	}
	return n[:at] + "e" + json.Number(strconv.Itoa(mostExponent))
}
