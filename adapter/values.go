package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zishang520/socket.io/v3/pkg/types"

	"github.com/teloo/realtime-gateway/streams/jsonscan"
)

// maxDepth bounds the nesting of values, so that neither a cycle nor hostile input can exhaust the stack.
const maxDepth = 512

var (
	errTooDeep = errors.New("value is nested too deeply")
	errJSON    = errors.New("not valid JSON in UTF-8")

	errTooMuchBinary = fmt.Errorf("more than %d attachments", maxAttachments)

	errNotRooms = errors.New("not a list of rooms")
)

// object is a map that kept the order of its keys; it exists between decoding and encoding only.
type object struct {
	keys   []string
	values []any
}

// freeze copies v so far that encoding it twice gives the same result: readers, which are empty after their first use,
// become bytes or strings. It reports whether the value holds binary.
func freeze(v any, depth int) (frozen any, binary bool, err error) {
	if depth > maxDepth {
		return nil, false, errTooDeep
	}
	switch v := v.(type) {
	case []any:
		return freezeSlice(v, depth)
	case map[string]any:
		return freezeMap(v, depth)
	case object:
		values, binary, err := freezeSlice(v.values, depth)
		list, _ := values.([]any)
		return object{keys: v.keys, values: list}, binary, err
	case []byte:
		return v, true, nil
	case *types.StringBuffer:
		return v.String(), false, nil
	case *strings.Reader:
		text, err := io.ReadAll(v)
		return string(text), false, err
	case types.BufferInterface:
		return bytes.Clone(v.Bytes()), true, nil
	case io.Reader:
		data, err := io.ReadAll(v)
		return data, true, err
	default:
		return v, false, nil
	}
}

func freezeSlice(in []any, depth int) (any, bool, error) {
	out := make([]any, len(in))
	binary := false
	for i, item := range in {
		frozen, has, err := freeze(item, depth+1)
		if err != nil {
			return nil, false, err
		}
		out[i], binary = frozen, binary || has
	}
	return out, binary, nil
}

func freezeMap(in map[string]any, depth int) (any, bool, error) {
	out := make(map[string]any, len(in))
	binary := false
	for key, item := range in {
		frozen, has, err := freeze(item, depth+1)
		if err != nil {
			return nil, false, err
		}
		out[key], binary = frozen, binary || has
	}
	return out, binary, nil
}

// maxAttachments is how many binary arguments the stock client's parser takes; with more it closes its connection.
const maxAttachments = 10

// jsonWriter writes frozen values as JSON. Raw JSON is kept byte for byte. Binary goes to attachments, with Socket.IO's
// placeholder in its place.
type jsonWriter struct {
	dst         []byte
	attachments [][]byte
}

func (w *jsonWriter) write(v any, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	switch v := v.(type) {
	case nil:
		w.dst = append(w.dst, "null"...)
	case json.RawMessage:
		return w.raw(v)
	case string:
		w.dst = appendQuoted(w.dst, v)
	case bool:
		w.dst = strconv.AppendBool(w.dst, v)
	case int64:
		w.dst = strconv.AppendInt(w.dst, v, 10)
	case uint64:
		w.dst = strconv.AppendUint(w.dst, v, 10)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			w.dst = append(w.dst, "null"...) // as JSON.stringify does
			return nil
		}
		return w.marshal(v)
	case []byte:
		w.dst = append(w.dst, `{"_placeholder":true,"num":`...)
		w.dst = strconv.AppendInt(w.dst, int64(len(w.attachments)), 10)
		w.dst = append(w.dst, '}')
		w.attachments = append(w.attachments, v)
	case []any:
		return w.array(v, depth)
	case map[string]any:
		return w.object(sortedObject(v), depth)
	case object:
		return w.object(v, depth)
	default:
		return w.marshal(v)
	}
	return nil
}

func (w *jsonWriter) raw(v json.RawMessage) error {
	if len(v) == 0 {
		w.dst = append(w.dst, "null"...)
		return nil
	}
	if !jsonscan.Valid(v) {
		return errJSON
	}
	w.dst = append(w.dst, v...)
	return nil
}

func (w *jsonWriter) array(v []any, depth int) error {
	w.dst = append(w.dst, '[')
	for i, item := range v {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		if err := w.write(item, depth+1); err != nil {
			return err
		}
	}
	w.dst = append(w.dst, ']')
	return nil
}

func (w *jsonWriter) object(v object, depth int) error {
	w.dst = append(w.dst, '{')
	for i, key := range v.keys {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		w.dst = append(appendQuoted(w.dst, key), ':')
		if err := w.write(v.values[i], depth+1); err != nil {
			return err
		}
	}
	w.dst = append(w.dst, '}')
	return nil
}

func (w *jsonWriter) marshal(v any) error {
	text, err := marshalJSON(v)
	if err != nil {
		return err
	}
	w.dst = append(w.dst, text...)
	return nil
}

// marshalJSON is json.Marshal without its escaping of HTML, which would change the bytes of strings.
func marshalJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

func sortedObject(m map[string]any) object {
	o := object{keys: make([]string, 0, len(m)), values: make([]any, len(m))}
	for key := range m {
		o.keys = append(o.keys, key)
	}
	slices.Sort(o.keys)
	for i, key := range o.keys {
		o.values[i] = m[key]
	}
	return o
}

// appendQuoted appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	quoted, err := marshalJSON(s)
	if err != nil {
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}

func appendQuotedList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, s)
	}
	return append(dst, ']')
}

// reservedEvents are the names that a client's parser refuses, closing its whole connection.
var reservedEvents = map[string]struct{}{
	"connect": {}, "connect_error": {}, "disconnect": {}, "disconnecting": {}, "newListener": {}, "removeListener": {},
}

func checkEvent(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("event name: %w", errJSON)
	}
	if _, reserved := reservedEvents[name]; reserved {
		return fmt.Errorf("event name %q is reserved", name)
	}
	return nil
}

// checkEventArray verifies that valid JSON is an array that begins with an event's name, as a client's parser demands.
func checkEventArray(raw []byte) error {
	const space = " \t\r\n"
	rest := bytes.TrimLeft(raw, space)
	if len(rest) == 0 || rest[0] != '[' {
		return errors.New("packet data is not an array")
	}
	rest = bytes.TrimLeft(rest[1:], space)
	if rest[0] == '-' || rest[0] >= '0' && rest[0] <= '9' {
		return nil
	}
	if rest[0] != '"' {
		return errors.New("packet data does not begin with an event name")
	}
	end := 1
	for rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	plain := rest[1:end]
	if bytes.IndexByte(plain, '\\') < 0 {
		// Without an allocation, unless something is wrong.
		if _, reserved := reservedEvents[string(plain)]; reserved || !utf8.Valid(plain) {
			return checkEvent(string(plain))
		}
		return nil
	}
	var name string
	if err := json.Unmarshal(rest[:end+1], &name); err != nil {
		return err
	}
	return checkEvent(name)
}

func asObject(v any) (object, bool) {
	switch v := v.(type) {
	case object:
		return v, true
	case map[string]any:
		return sortedObject(v), true
	default:
		return object{}, false
	}
}

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	default:
		return 0, false
	}
}

func stringsFrom(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("not a list of strings")
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = item.(string); !ok {
			return nil, errors.New("not a list of strings")
		}
	}
	return out, nil
}

// roomsFrom is stringsFrom for rooms. Node's may be numbers, or by mistake anything else that has no parts, such as an id that
// is not set: they are known by the text that JSON has for them. Leaving one out could make of a list an empty one, which
// is everybody.
func roomsFrom(v any) ([]string, error) {
	if v == nil {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errNotRooms
	}
	out := make([]string, len(list))
	for i, item := range list {
		var err error
		if out[i], err = roomFrom(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func roomFrom(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case nil, bool, int64, uint64, float64:
		text, err := marshalJSON(v)
		return string(text), err
	default:
		return "", errNotRooms
	}
}
