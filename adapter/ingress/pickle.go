package ingress

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what a pickle may come to, since a value in it may stand in many places.
const (
	maxPickleValues = 100_000
	maxPickleDepth  = 64
	maxPickleText   = 1 << 20 // bytes of JSON
	maxPickleInt    = 128     // bytes
	// maxPickleSteps is how often something may come onto the stack: of a value, itself, its mark and its key, and all but
	// the mark twice when they are named.
	maxPickleSteps = 5 * maxPickleValues
)

// Values of a pickle are nil, bool, *big.Int, float64, string, []byte and these. Lists and dictionaries are pointers, since
// a pickle may go on filling one that it has named.
type (
	pickledTuple []any
	pickledList  struct{ items []any }
	pickledDict  struct {
		keys   []string
		values map[string]any
	}
	pickleMark struct{}
)

// unpickle makes of a pickle of plain data, protocols 2 to 5, the JSON that python-socketio publishes from 5.14.2 on. It
// knows the opcodes of data alone (Python's pickletools describes them): what names a class or calls something is errPickle.
func unpickle(payload string) (string, error) {
	if !strings.HasPrefix(payload, "\x80") {
		return "", errPickle
	}
	p := pickle{rest: payload, memo: map[uint64]any{}}
	value, err := p.load()
	if err != nil {
		return "", err
	}
	message, ok := value.(*pickledDict)
	if !ok {
		return "", fmt.Errorf("%w: pickle of no dictionary", errInvalid)
	}
	w := pickleWriter{spare: len(payload) + maxPickleText}
	if err := w.message(message); err != nil {
		return "", err
	}
	return w.out.String(), nil
}

// pickle is the machine that a pickle is for.
type pickle struct {
	rest  string
	stack []any
	steps int // how often something came onto the stack
	memo  map[uint64]any
}

func (p *pickle) load() (any, error) {
	for {
		op, err := p.take(1)
		if err != nil {
			return nil, err
		}
		if op == "." {
			return p.pop()
		}
		if err := p.step(op[0]); err != nil {
			return nil, err
		}
		if p.steps > maxPickleSteps {
			return nil, errPickledTooMuch
		}
	}
}

func (p *pickle) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		version, err := p.number(1)
		if err == nil && (version < 2 || version > 5) {
			err = fmt.Errorf("%w: protocol %d", errPickle, version)
		}
		return err
	case 0x95: // FRAME
		_, err := p.take(8)
		return err
	case '(':
		p.push(pickleMark{})
	case 'N':
		p.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		p.push(op == 0x88)
	case '}':
		p.push(&pickledDict{values: map[string]any{}})
	case ']':
		p.push(&pickledList{})
	case ')':
		p.push(pickledTuple{})
	case 't', 0x85, 0x86, 0x87: // TUPLE, TUPLE1 to TUPLE3
		return p.tuple(op)
	case 'a', 'e', 's', 'u': // APPEND(S), SETITEM(S)
		return p.fill(op)
	case 'q', 'r', 0x94, 'h', 'j': // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET
		return p.remember(op)
	default:
		return p.scalar(op)
	}
	return nil
}

// scalar pushes a number, a text or bytes.
func (p *pickle) scalar(op byte) error {
	switch op {
	case 'K', 'M', 'J': // BININT1, BININT2, BININT
		n, err := p.number(map[byte]int{'K': 1, 'M': 2, 'J': 4}[op])
		if op == 'J' {
			n = uint64(int64(int32(n)))
		}
		p.push(big.NewInt(int64(n)))
		return err
	case 0x8a, 0x8b: // LONG1, LONG4
		return p.long(map[byte]int{0x8a: 1, 0x8b: 4}[op])
	case 'G': // BINFLOAT
		text, err := p.take(8)
		if err != nil {
			return err
		}
		p.push(math.Float64frombits(binary.BigEndian.Uint64([]byte(text))))
		return nil
	case 0x8c, 'X', 0x8d: // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
		text, err := p.counted(map[byte]int{0x8c: 1, 'X': 4, 0x8d: 8}[op])
		if err == nil && !utf8.ValidString(text) {
			err = fmt.Errorf("%w: pickled text is no UTF-8", errInvalid)
		}
		p.push(text)
		return err
	case 'C', 'B', 0x8e, 0x96: // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
		data, err := p.counted(map[byte]int{'C': 1, 'B': 4, 0x8e: 8, 0x96: 8}[op])
		p.push([]byte(data))
		return err
	}
	return errPickle
}

func (p *pickle) push(v any) {
	p.steps++
	p.stack = append(p.stack, v)
}

func (p *pickle) pop() (any, error) {
	if len(p.stack) == 0 {
		return nil, errPickled
	}
	v := p.stack[len(p.stack)-1]
	p.stack = p.stack[:len(p.stack)-1]
	if _, is := v.(pickleMark); is {
		return nil, errPickled
	}
	return v, nil
}

// popMark returns what stands above the last mark.
func (p *pickle) popMark() ([]any, error) {
	for i, v := range slices.Backward(p.stack) {
		if _, is := v.(pickleMark); is {
			items := slices.Clone(p.stack[i+1:])
			p.stack = p.stack[:i]
			return items, nil
		}
	}
	return nil, errPickled
}

var (
	errPickled        = fmt.Errorf("%w: malformed pickle", errInvalid)
	errPickledTooMuch = fmt.Errorf("%w: a pickle that comes to too much", errInvalid)
)

func (p *pickle) take(n uint64) (string, error) {
	if uint64(len(p.rest)) < n {
		return "", errPickled
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken, nil
}

// number reads a number of 1 to 8 bytes without a sign.
func (p *pickle) number(bytes int) (n uint64, err error) {
	text, err := p.take(uint64(bytes))
	for i, b := range []byte(text) {
		n |= uint64(b) << (8 * i)
	}
	return n, err
}

// counted reads bytes behind their number.
func (p *pickle) counted(bytes int) (string, error) {
	n, err := p.number(bytes)
	if err != nil {
		return "", err
	}
	return p.take(n)
}

// long reads an integer of any size, two's complement.
func (p *pickle) long(bytes int) error {
	text, err := p.counted(bytes)
	if err != nil {
		return err
	}
	if len(text) > maxPickleInt {
		return fmt.Errorf("%w: pickled integer of %d bytes", errInvalid, len(text))
	}
	digits := []byte(text)
	slices.Reverse(digits)
	n := new(big.Int).SetBytes(digits)
	if len(digits) > 0 && digits[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(digits))))
	}
	p.push(n)
	return nil
}

func (p *pickle) tuple(op byte) error {
	if op == 't' {
		items, err := p.popMark()
		p.push(pickledTuple(items))
		return err
	}
	items := make(pickledTuple, op-0x84)
	for i := range slices.Backward(items) {
		v, err := p.pop()
		if err != nil {
			return err
		}
		items[i] = v
	}
	p.push(items)
	return nil
}

// fill puts what is on the stack into the list or dictionary below it.
func (p *pickle) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'a', 's':
		n := 1
		if op == 's' {
			n = 2
		}
		if len(p.stack) < n {
			return errPickled
		}
		items = slices.Clone(p.stack[len(p.stack)-n:])
		p.stack = p.stack[:len(p.stack)-n]
	default:
		items, err = p.popMark()
	}
	if err != nil || len(p.stack) == 0 {
		return errPickled
	}
	switch into := p.stack[len(p.stack)-1].(type) {
	case *pickledList:
		if op == 'a' || op == 'e' {
			into.items = append(into.items, items...)
			return nil
		}
	case *pickledDict:
		if op == 's' || op == 'u' {
			return into.set(items)
		}
	}
	return errPickled
}

// set adds keys and values, which alternate. As in JSON of Python's, a whole number may be a key.
func (d *pickledDict) set(items []any) error {
	if len(items)%2 != 0 {
		return errPickled
	}
	for i := 0; i < len(items); i += 2 {
		var key string
		switch k := items[i].(type) {
		case string:
			key = k
		case *big.Int:
			key = k.String()
		default:
			return fmt.Errorf("%w: a pickled dictionary's key is no text", errInvalid)
		}
		if _, had := d.values[key]; !had {
			d.keys = append(d.keys, key)
		}
		d.values[key] = items[i+1]
	}
	return nil
}

// remember names the top of the stack, or pushes what was named.
func (p *pickle) remember(op byte) error {
	var name uint64
	var err error
	switch op {
	case 'q', 'h':
		name, err = p.number(1)
	case 'r', 'j':
		name, err = p.number(4)
	default: // MEMOIZE
		name = uint64(len(p.memo))
	}
	if err != nil {
		return err
	}
	if op == 'h' || op == 'j' {
		v, ok := p.memo[name]
		if !ok {
			return errPickled
		}
		p.push(v)
		return nil
	}
	v, err := p.pop()
	if err != nil {
		return err
	}
	p.memo[name] = v
	p.push(v)
	return nil
}
