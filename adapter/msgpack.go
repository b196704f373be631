package adapter

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

var errMsgpack = errors.New("msgpack")

// packMsgpack encodes a frozen value. What is not a container, bytes or a scalar takes the form that JSON gives it, so
// that a value looks the same to its receivers whichever way it travelled.
func packMsgpack(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.UseCompactInts(true)
	if err := encodeMsgpack(enc, v, 0); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

func encodeMsgpack(enc *msgpack.Encoder, v any, depth int) error {
	if depth > maxDepth {
		return errTooDeep
	}
	switch v := v.(type) {
	case nil:
		return enc.EncodeNil()
	case bool:
		return enc.EncodeBool(v)
	case string:
		return enc.EncodeString(v)
	case int:
		return enc.EncodeInt(int64(v))
	case int64:
		return enc.EncodeInt(v)
	case uint64:
		return enc.EncodeUint(v)
	case float64:
		return enc.EncodeFloat64(v)
	case json.Number:
		return encodeNumber(enc, v)
	case []byte:
		return enc.EncodeBytes(v)
	case []any:
		if err := enc.EncodeArrayLen(len(v)); err != nil {
			return err
		}
		for _, item := range v {
			if err := encodeMsgpack(enc, item, depth+1); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		return encodeObject(enc, sortedObject(v), depth)
	case object:
		return encodeObject(enc, v, depth)
	default:
		return encodeViaJSON(enc, v, depth)
	}
}

func encodeObject(enc *msgpack.Encoder, v object, depth int) error {
	if err := enc.EncodeMapLen(len(v.keys)); err != nil {
		return err
	}
	for i, key := range v.keys {
		if err := enc.EncodeString(key); err != nil {
			return err
		}
		if err := encodeMsgpack(enc, v.values[i], depth+1); err != nil {
			return err
		}
	}
	return nil
}

func encodeViaJSON(enc *msgpack.Encoder, v any, depth int) error {
	text, err := marshalJSON(v)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return err
	}
	return encodeMsgpack(enc, plain, depth+1)
}

func encodeNumber(enc *msgpack.Encoder, n json.Number) error {
	text := n.String()
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return enc.EncodeInt(i)
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return enc.EncodeUint(u)
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	return enc.EncodeFloat64(f)
}

// unpacker decodes msgpack with a bound on depth. The library's own generic decoding and skipping recurse without one,
// and a stack that overflows ends the process.
type unpacker struct {
	dec *msgpack.Decoder
	src *bytes.Reader // what dec has not read yet
	// ordered makes maps objects, which keep their key order, instead of map[string]any.
	ordered bool
}

// unpackMsgpack decodes exactly one value: nil, bool, int64, uint64, float64, string, []byte, []any and maps.
func unpackMsgpack(data []byte, ordered bool) (any, error) {
	src := bytes.NewReader(data)
	u := unpacker{dec: msgpack.NewDecoder(src), src: src, ordered: ordered}
	v, err := u.value(0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMsgpack, err)
	}
	if src.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the value", errMsgpack, src.Len())
	}
	return v, nil
}

func (u unpacker) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	c, err := u.dec.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case c == msgpcode.Nil:
		return nil, u.dec.DecodeNil()
	case c == msgpcode.True, c == msgpcode.False:
		return u.dec.DecodeBool()
	case msgpcode.IsFixedArray(c), c == msgpcode.Array16, c == msgpcode.Array32:
		return u.array(depth)
	case msgpcode.IsFixedMap(c), c == msgpcode.Map16, c == msgpcode.Map32:
		return u.mapping(depth)
	case msgpcode.IsString(c):
		return u.text()
	case msgpcode.IsBin(c):
		return u.binary()
	case msgpcode.IsExt(c):
		return u.extension(c)
	case c == msgpcode.Float, c == msgpcode.Double:
		return u.dec.DecodeFloat64()
	case c == msgpcode.Uint64:
		return u.unsigned()
	default:
		return u.dec.DecodeInt64()
	}
}

// unsigned gives an integer the type that it would have had in its shortest form.
func (u unpacker) unsigned() (any, error) {
	n, err := u.dec.DecodeUint64()
	if err == nil && n <= math.MaxInt64 {
		return int64(n), nil
	}
	return n, err
}

// binary reads bytes or a string. The library would allocate whatever length is claimed before it looks for the bytes.
func (u unpacker) binary() ([]byte, error) {
	n, err := u.dec.DecodeBytesLen()
	if err != nil {
		return nil, err
	}
	if n > u.src.Len() {
		return nil, io.ErrUnexpectedEOF
	}
	data := make([]byte, max(n, 0))
	return data, u.dec.ReadFull(data)
}

func (u unpacker) text() (string, error) {
	data, err := u.binary()
	return string(data), err
}

func (u unpacker) array(depth int) (any, error) {
	n, err := u.dec.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	list := make([]any, 0, min(n, 64))
	for range n {
		item, err := u.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

func (u unpacker) mapping(depth int) (any, error) {
	n, err := u.dec.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	var o object
	for range n {
		key, err := u.text()
		if err != nil {
			return nil, err
		}
		item, err := u.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.keys, o.values = append(o.keys, key), append(o.values, item)
	}
	if u.ordered {
		return o, nil
	}
	m := make(map[string]any, len(o.keys))
	for i, key := range o.keys {
		m[key] = o.values[i]
	}
	return m, nil
}

// extension reads those in use: a date, which gets the text that JSON.stringify gives it, and what notepack has of its
// own for undefined, a date and an ArrayBuffer.
func (u unpacker) extension(code byte) (any, error) {
	id, size, err := u.dec.DecodeExtHeader()
	if err != nil {
		return nil, err
	}
	if size > u.src.Len() {
		return nil, io.ErrUnexpectedEOF
	}
	buf := make([]byte, max(size, 0))
	if err := u.dec.ReadFull(buf); err != nil {
		return nil, err
	}
	switch {
	case id == -1:
		return timestamp(buf)
	case id == 0 && code == msgpcode.FixExt1 && buf[0] == 0:
		return nil, nil
	case id == 0 && code == msgpcode.FixExt8:
		return isoTime(time.UnixMilli(int64(binary.BigEndian.Uint64(buf)))), nil
	case id == 0 && (code == msgpcode.Ext8 || code == msgpcode.Ext16 || code == msgpcode.Ext32):
		return buf, nil
	}
	return nil, fmt.Errorf("extension %d of %d bytes", id, size)
}

func timestamp(buf []byte) (any, error) {
	switch len(buf) {
	case 4:
		return isoTime(time.Unix(int64(binary.BigEndian.Uint32(buf)), 0)), nil
	case 8:
		both := binary.BigEndian.Uint64(buf)
		return isoTime(time.Unix(int64(both&(1<<34-1)), int64(both>>34))), nil
	case 12:
		return isoTime(time.Unix(int64(binary.BigEndian.Uint64(buf[4:])), int64(binary.BigEndian.Uint32(buf)))), nil
	}
	return nil, fmt.Errorf("timestamp of %d bytes", len(buf))
}

func isoTime(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }
