package main

import (
	"encoding/base64"

	"github.com/zishang520/socket.io/v3/pkg/types"
)

const binaryKey = "$binary"

// inward makes bytes of what stands for binary in a command.
func inward(v any) any {
	return walk(v, func(v any) (any, bool) {
		fields, _ := v.(map[string]any)
		text, is := fields[binaryKey].(string)
		if !is {
			return nil, false
		}
		data, err := base64.StdEncoding.DecodeString(text)
		return data, err == nil
	})
}

// outward is the opposite of inward.
func outward(v any) any {
	return walk(v, func(v any) (any, bool) {
		switch v := v.(type) {
		case []byte:
			return map[string]any{binaryKey: base64.StdEncoding.EncodeToString(v)}, true
		case types.BufferInterface:
			return map[string]any{binaryKey: base64.StdEncoding.EncodeToString(v.Bytes())}, true
		default:
			return nil, false
		}
	})
}

// walk returns v with what replace knows replaced, at any depth.
func walk(v any, replace func(any) (any, bool)) any {
	if other, known := replace(v); known {
		return other
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = walk(value, replace)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = walk(value, replace)
		}
		return out
	case [][]any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = walk(value, replace)
		}
		return out
	default:
		return v
	}
}
