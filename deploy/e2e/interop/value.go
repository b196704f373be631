package main

import (
	"encoding/base64"

	"github.com/zishang520/socket.io/v3/pkg/types"
)

const binaryKey = "$binary"

// inward makes bytes of what stands for binary in a command.
func inward(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if text, ok := v[binaryKey].(string); ok && len(v) == 1 {
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return nil
			}
			return data
		}
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = inward(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = inward(value)
		}
		return out
	default:
		return v
	}
}

// outward is the opposite of inward.
func outward(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]any{binaryKey: base64.StdEncoding.EncodeToString(v)}
	case types.BufferInterface:
		return map[string]any{binaryKey: base64.StdEncoding.EncodeToString(v.Bytes())}
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = outward(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = outward(value)
		}
		return out
	case [][]any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = outward(value)
		}
		return out
	default:
		return v
	}
}
