package ingress

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// pickleWriter writes values as JSON, within the bounds.
type pickleWriter struct {
	out    strings.Builder
	values int
	// attachments are the data's bytes, in the order of their placeholders. Elsewhere there are none.
	attachments [][]byte
	spare       int // how many bytes more they may have together: the same may be attached many times
	isData      bool
}

// message writes a manager's message, its data as the list of arguments that newer versions publish.
func (w *pickleWriter) message(m *pickledDict) error {
	w.out.WriteByte('{')
	first := true
	for _, key := range m.keys {
		if key == "binary" { // said below
			continue
		}
		if !first {
			w.out.WriteByte(',')
		}
		first = false
		write := w.value
		if key == "data" {
			write = w.data
		}
		w.text(key)
		w.out.WriteByte(':')
		if err := write(m.values[key], 1); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

// data writes arguments: of a tuple each of its items, of None none, else one.
func (w *pickleWriter) data(v any, depth int) error {
	args, several := v.(pickledTuple)
	if !several && v != nil {
		args = pickledTuple{v}
	}
	if len(args) == 0 {
		w.out.WriteString(`null,"binary":false`)
		return nil
	}
	inner := pickleWriter{values: w.values, spare: w.spare, isData: true}
	if err := inner.list(args, depth); err != nil {
		return err
	}
	w.values = inner.values
	if len(inner.attachments) == 0 {
		w.out.WriteString(inner.out.String() + `,"binary":false`)
		return nil
	}
	w.out.WriteString("[" + inner.out.String())
	for _, attachment := range inner.attachments {
		w.out.WriteString(`,"` + base64.StdEncoding.EncodeToString(attachment) + `"`)
	}
	w.out.WriteString(`],"binary":true`)
	return nil
}

func (w *pickleWriter) value(v any, depth int) error {
	if w.values++; w.values > maxPickleValues || depth > maxPickleDepth || w.out.Len() > maxPickleText {
		return errPickledTooMuch
	}
	switch v := v.(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case *big.Int:
		w.out.WriteString(v.String())
	case float64:
		text, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("%w: a pickled number that JSON has not", errInvalid)
		}
		w.out.Write(text)
	case string:
		w.text(v)
	case []byte:
		if !w.isData {
			return fmt.Errorf("%w: pickled bytes where there is no data", errInvalid)
		}
		if w.spare -= len(v); w.spare < 0 {
			return errPickledTooMuch
		}
		fmt.Fprintf(&w.out, `{"_placeholder":true,"num":%d}`, len(w.attachments))
		w.attachments = append(w.attachments, v)
	case pickledTuple:
		return w.list(v, depth)
	case *pickledList:
		return w.list(v.items, depth)
	case *pickledDict:
		return w.dict(v, depth)
	default:
		return errPickled
	}
	return nil
}

func (w *pickleWriter) list(items []any, depth int) error {
	w.out.WriteByte('[')
	for i, item := range items {
		if i > 0 {
			w.out.WriteByte(',')
		}
		if err := w.value(item, depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte(']')
	return nil
}

func (w *pickleWriter) dict(d *pickledDict, depth int) error {
	w.out.WriteByte('{')
	for i, key := range d.keys {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.text(key)
		w.out.WriteByte(':')
		if err := w.value(d.values[key], depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

func (w *pickleWriter) text(s string) {
	var quoted strings.Builder
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) //nolint:errchkjson // it cannot fail for a string
	w.out.WriteString(strings.TrimSuffix(quoted.String(), "\n"))
}
