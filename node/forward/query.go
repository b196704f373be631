package forward

import (
	"net/url"
	"strings"
)

// sessionOf returns the query's first sid, as url.ParseQuery would read it; "" for a query that it refuses.
func sessionOf(query string) string {
	if strings.IndexByte(query, '%') >= 0 || strings.IndexByte(query, '+') >= 0 || strings.IndexByte(query, ';') >= 0 {
		values, err := url.ParseQuery(query)
		if err != nil {
			return ""
		}
		return values.Get("sid")
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(pair, "="); key == "sid" {
			return value
		}
	}
	return ""
}
