package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	yamlv3 "go.yaml.in/yaml/v3"
)

const documentURL = "https://gateway.example/openapi.json"

// spec is the document as tests use it.
type spec struct {
	Paths map[string]map[string]json.RawMessage `json:"paths"`

	raw      any // as jsonschema wants it
	compiler *jsonschema.Compiler
}

// document of the API, parsed once.
var theSpec = sync.OnceValues(func() (*spec, error) {
	var tree any
	if err := yamlv3.Unmarshal(document, &tree); err != nil {
		return nil, err
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	s := &spec{compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	if s.raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return nil, err
	}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource(documentURL, s.raw)
})

func loadSpec(t testing.TB) *spec {
	t.Helper()
	s, err := theSpec()
	require.NoError(t, err)
	return s
}

// at follows a path of keys through the document, and references on the way. It returns nil where there is none, and
// the place found as a JSON pointer.
func (s *spec) at(t testing.TB, keys ...string) (any, string) {
	t.Helper()
	node, pointer := s.raw, "#"
	for _, key := range keys {
		object, ok := node.(map[string]any)
		require.True(t, ok, "%s is no object", pointer)
		node = object[key]
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if node == nil {
			return nil, pointer
		}
		if ref, ok := node.(map[string]any)["$ref"].(string); ok {
			node, pointer = s.at(t, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			require.NotNil(t, node, ref)
		}
	}
	return node, pointer
}

// schema compiles the schema at a JSON pointer.
func (s *spec) schema(t testing.TB, pointer string) *jsonschema.Schema {
	t.Helper()
	specLock.Lock()
	defer specLock.Unlock()
	schema, err := s.compiler.Compile(documentURL + escapePointer.Replace(pointer))
	require.NoError(t, err)
	return schema
}

var (
	specLock      sync.Mutex // of the compiler
	escapePointer = strings.NewReplacer("{", "%7B", "}", "%7D")
)

func (s *spec) valid(t testing.TB, pointer, body string) error {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	require.NoError(t, err)
	return s.schema(t, pointer).Validate(value)
}

// described is the document's path for a request's, or "". An id that is a slash is none to http.ServeMux.
func (s *spec) described(path string) string {
	if s.Paths[path] != nil { // which goes before a pattern
		return path
	}
	parts := strings.Split(path, "/")
	for pattern := range s.Paths {
		like := strings.Split(pattern, "/")
		if len(like) == len(parts) && !slices.ContainsFunc(like, func(p string) bool {
			i := slices.Index(like, p)
			return p != parts[i] && (!strings.HasPrefix(p, "{") || parts[i] == "" || parts[i] == "%2F")
		}) {
			return pattern
		}
	}
	return ""
}

// checkAnswer holds an answer against the document: the status is described for the operation, its headers are there,
// media type and body are as described. Of paths and methods that aren't described, the answer is a problem.
func checkAnswer(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	s := loadSpec(t)
	for header, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
		"Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		require.Equal(t, want, w.Header().Get(header))
	}
	pattern, method := s.described(r.URL.EscapedPath()), strings.ToLower(r.Method)
	if method == "head" {
		method = "get"
	}
	operation := []string{"paths", pattern, method}
	if pattern == "" || s.Paths[pattern][method] == nil {
		require.Contains(t, []int{http.StatusUnauthorized, http.StatusTooManyRequests, http.StatusNotFound, http.StatusMethodNotAllowed}, w.Code)
		require.NoError(t, s.valid(t, "#/components/schemas/Problem", w.Body.String()))
		return
	}
	response, _ := s.at(t, append(operation, "responses", statusKey(w.Code))...)
	require.NotNil(t, response, "%s %s answers %d, which is not described", r.Method, pattern, w.Code)
	s.checkHeaders(t, append(operation, "responses", statusKey(w.Code), "headers"), w.Header())
	content, _ := s.at(t, append(operation, "responses", statusKey(w.Code), "content")...)
	if content == nil {
		require.Zero(t, w.Body.Len())
		return
	}
	media := w.Header().Get("Content-Type")
	schema, pointer := s.at(t, append(operation, "responses", statusKey(w.Code), "content", media, "schema")...)
	require.NotNil(t, schema, "%s %s answers %s, which is not described", r.Method, pattern, media)
	if media != "application/yaml" {
		require.NoError(t, s.valid(t, pointer, w.Body.String()), w.Body.String())
	}
}

func (s *spec) checkHeaders(t testing.TB, at []string, got http.Header) {
	t.Helper()
	headers, _ := s.at(t, at...)
	require.NotEmpty(t, headers)
	for name := range headers.(map[string]any) {
		_, pointer := s.at(t, append(slices.Clone(at), name, "schema")...)
		require.NotEmpty(t, got.Get(name), name)
		require.NoError(t, s.schema(t, pointer).Validate(got.Get(name)), name)
	}
}

func statusKey(code int) string {
	return string([]byte{byte('0' + code/100), byte('0' + code/10%10), byte('0' + code%10)})
}

// TestTheDocumentIsOpenAPI holds it against the specification's own schema (https://spec.openapis.org, Apache-2.0).
func TestTheDocumentIsOpenAPI(t *testing.T) {
	s := loadSpec(t)
	text, err := os.ReadFile("testdata/openapi-3.1.schema.json")
	require.NoError(t, err)
	meta, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("https://spec.openapis.org/oas/3.1/schema/2022-10-07", meta))
	schema, err := c.Compile("https://spec.openapis.org/oas/3.1/schema/2022-10-07")
	require.NoError(t, err)
	require.NoError(t, schema.Validate(s.raw))

	spoilt := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(`{"openapi":"3.1.1","info":{"title":"t","version":"1"},"paths":{"/x":{"get":{"responses":{"2000":{}}}}}}`), &spoilt))
	require.Error(t, schema.Validate(spoilt), "the schema refuses something")
}

func TestTheDocumentHasTheRoutesAndNoOthers(t *testing.T) {
	s := loadSpec(t)
	var described, routed []string
	for path, item := range s.Paths {
		for method := range item {
			if method != "parameters" {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	b := newBench(t)
	for _, route := range (&server{}).routes() {
		routed = append(routed, route.method+" "+route.path)
		w := b.do("OPTIONS", fill(route.path), "")
		refused(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
		require.Contains(t, strings.Split(w.Header().Get("Allow"), ", "), route.method)
	}
	sort.Strings(described)
	sort.Strings(routed)
	require.Equal(t, described, routed)
}

// TestEveryMethodOfEveryPath: what is not in the document is not served, and Allow says what is.
func TestEveryMethodOfEveryPath(t *testing.T) {
	s := loadSpec(t)
	b := newBench(t)
	for path, item := range s.Paths {
		var allowed []string
		for method := range item {
			if method != "parameters" {
				allowed = append(allowed, strings.ToUpper(method))
			}
		}
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
		}
		sort.Strings(allowed)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"} {
			w := b.do(method, fill(path), "")
			if slices.Contains(allowed, method) {
				require.NotEqual(t, http.StatusMethodNotAllowed, w.Code, "%s %s", method, path)
				continue
			}
			refused(t, w, http.StatusMethodNotAllowed, "method_not_allowed")
			require.Equal(t, strings.Join(allowed, ", "), w.Header().Get("Allow"))
		}
	}
}

// TestEachDescribedAnswerIsGiven: the document promises no answer that no request gets.
func TestEachDescribedAnswerIsGiven(t *testing.T) {
	s := loadSpec(t)
	bodies := map[string]string{
		"publish": `{"event":"notificacion_x","data":{"user_id":"u"}}`, "revoke": `{"user":"u"}`, "grant": `{"ttl_seconds":60}`,
		"replay": `{"all":true}`, "drop": `{"ids":["1-1"]}`,
		"setLogLevel": `{"level":"debug"}`,
	}
	for path, item := range s.Paths {
		for method, raw := range item {
			var operation struct {
				ID        string                     `json:"operationId"`
				Responses map[string]json.RawMessage `json:"responses"`
			}
			if method == "parameters" {
				continue
			}
			require.NoError(t, json.Unmarshal(raw, &operation))
			body := bodies[operation.ID]
			for status := range operation.Responses {
				b := newBench(t)
				method, target, body, headers := strings.ToUpper(method), fill(path), body, []string(nil)
				switch status {
				case "400":
					body = "{"
				case "401":
					headers = []string{"Authorization", ""}
				case "404":
					b.err, b.deps.LogLevels = ErrNoLetter, nil
				case "413":
					body = `{"x":"` + strings.Repeat("x", 200_000) + `"}`
				case "415":
					headers = []string{"Content-Type", "text/plain"}
				case "422":
					if body = `{"x":1}`; bodies[operation.ID] == "" {
						target, body = strings.NewReplacer("C-3", "%00", "1-1", "x").Replace(target)+"?x", ""
					}
				case "429":
					b.cfg.MaxFailures = 1
					b.do(method, target, "", "Authorization", "Bearer "+wrongKey)
				case "500":
					b.does = func() error { panic(errSecret) }
					if operation.ID == "openapi" {
						continue // any handler may panic; this one doesn't
					}
				case "503":
					b.err = ErrUnavailable
				}
				w := b.do(method, target, body, headers...)
				require.Equal(t, status, statusKey(w.Code), "%s: %s", operation.ID, w.Body)
			}
		}
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	b := newBench(t)
	w := b.do(http.MethodGet, "/admin/openapi.yaml", "")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, document, w.Body.Bytes())
	require.Empty(t, b.logs.String(), "reading changes nothing")
}
