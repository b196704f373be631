package adapter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/teloo/realtime-gateway/streams/jsonscan"
)

const placeholderKey = "_placeholder"

var errPlaceholder = errors.New("a placeholder without its attachment")

// WithAttachments returns the arguments of a JSON array in which Socket.IO's placeholders stand for attachments, which may
// be more than one for the same. What stands there then comes to no more than most bytes, else the error wraps
// ErrEmissionTooLarge; and in no more than ten places.
func WithAttachments(array json.RawMessage, attachments [][]byte, most int) ([]any, error) {
	if !jsonscan.Valid(array) {
		return nil, errJSON
	}
	dec := json.NewDecoder(bytes.NewReader(array))
	dec.UseNumber()
	f := filler{dec: dec, attachments: attachments, spare: most - len(array), places: maxAttachments}
	v, err := f.value(0)
	if err != nil {
		return nil, err
	}
	args, ok := v.([]any)
	if !ok {
		return nil, errors.New("not an array")
	}
	return args, nil
}

// filler reads valid JSON, its keys in order, and puts attachments in their placeholders' places.
type filler struct {
	dec           *json.Decoder
	attachments   [][]byte
	spare, places int // what is left: bytes, placeholders
}

func (f *filler) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	token, err := f.dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for f.dec.More() {
			item, err := f.value(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		_, err := f.dec.Token()
		return list, err
	case json.Delim('{'):
		return f.object(depth)
	}
	return token, nil
}

func (f *filler) object(depth int) (any, error) {
	var o object
	for f.dec.More() {
		token, err := f.dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		item, err := f.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.keys, o.values = append(o.keys, key), append(o.values, item)
	}
	if _, err := f.dec.Token(); err != nil {
		return nil, err
	}
	if !isPlaceholder(o) {
		return o, nil
	}
	text, _ := o.get("num").(json.Number)
	num, err := strconv.Atoi(text.String())
	if err != nil || num < 0 || num >= len(f.attachments) {
		return nil, errPlaceholder
	}
	attachment := f.attachments[num]
	f.spare -= len(attachment)
	f.places--
	if f.spare < 0 || f.places < 0 {
		return nil, fmt.Errorf("%w: attachments", ErrEmissionTooLarge)
	}
	return attachment, nil
}

// isPlaceholder errs on the safe side: of a key that is there twice, who reads it takes the last.
func isPlaceholder(o object) bool {
	for i, key := range o.keys {
		if key == placeholderKey && o.values[i] == true {
			return true
		}
	}
	return false
}

// hasPlaceholder tells whether a placeholder is within frozen values.
func hasPlaceholder(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, hasPlaceholder)
	case map[string]any:
		return hasPlaceholder(sortedObject(v))
	case object:
		return isPlaceholder(v) || slices.ContainsFunc(v.values, hasPlaceholder)
	case json.RawMessage:
		return bytes.Contains(v, []byte(placeholderKey)) || bytes.IndexByte(v, '\\') >= 0 && hasEscapedPlaceholder(v)
	}
	return false
}

// hasEscapedPlaceholder is for keys that are written with escapes.
func hasEscapedPlaceholder(raw json.RawMessage) bool {
	dec := json.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		if token == placeholderKey {
			return true
		}
	}
}
