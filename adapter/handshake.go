package adapter

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zishang520/socket.io/servers/socket/v3"
)

// This file is where the two libraries' handshakes differ: Node's has header names in lower case and one text for each,
// and so for what a query has once; the library's has lists.

// credentials are headers and fields of the handshake's auth that never leave the node. Who has a pid has the session.
var credentials = []string{"authorization", "cookie", "proxy-authorization", "token", "pid", "offset"}

func secret(name string) bool { return slices.Contains(credentials, strings.ToLower(name)) }

// handshakeValue is a handshake as the other servers see it, in Node's form.
func handshakeValue(h *socket.Handshake) any {
	if h == nil {
		return map[string]any{}
	}
	return map[string]any{
		"headers": headersValue(h.Headers), "time": h.Time, "address": h.Address, "xdomain": h.Xdomain,
		"secure": h.Secure, "issued": h.Issued, "url": urlValue(h.Url), "query": queryValue(h.Query),
		"auth": withoutCredentials(h.Auth),
	}
}

func headersValue(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for name, value := range in {
		if secret(name) {
			continue
		}
		if list, ok := value.([]string); ok {
			value = strings.Join(list, ", ")
		}
		out[strings.ToLower(name)] = encodable(value)
	}
	return out
}

func queryValue(in map[string]any) map[string]any {
	out := withoutCredentials(in)
	for name, value := range in {
		if list, ok := value.([]string); ok && len(list) == 1 && !secret(name) {
			out[name] = encodable(list[0])
		}
	}
	return out
}

// urlValue is a request's path and query, in which a client may have put its token.
func urlValue(in string) string {
	path, query, has := strings.Cut(in, "?")
	if !has {
		return in
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		return err != nil || secret(plain)
	})
	return path + "?" + strings.Join(kept, "&")
}

func withoutCredentials(in map[string]any) map[string]any {
	out := make(map[string]any, len(in))
	for name, value := range in {
		if !secret(name) {
			out[name] = encodable(value)
		}
	}
	return out
}

// handshakeFrom reads handshakeValue, or a Node server's, into the library's form.
func handshakeFrom(v any) *socket.Handshake {
	fields, _ := v.(map[string]any)
	text := func(name string) string { s, _ := fields[name].(string); return s }
	yes := func(name string) bool { b, _ := fields[name].(bool); return b }
	mapping := func(name string) map[string]any { m, _ := fields[name].(map[string]any); return m }
	issued, _ := number(fields["issued"])
	headers := make(map[string]any)
	for name, value := range mapping("headers") {
		headers[http.CanonicalHeaderKey(name)] = listed(value)
	}
	query := make(map[string]any)
	for name, value := range mapping("query") {
		query[name] = listed(value)
	}
	return &socket.Handshake{
		Headers: headers, Time: text("time"), Address: text("address"), Xdomain: yes("xdomain"),
		Secure: yes("secure"), Issued: int64(issued), Url: text("url"), Query: query, Auth: mapping("auth"),
	}
}

// listed is one text or several as a list of texts; anything else stays what it is.
func listed(v any) any {
	if one, ok := v.(string); ok {
		return []string{one}
	}
	if list, err := stringsFrom(v); err == nil && list != nil {
		return list
	}
	return v
}
