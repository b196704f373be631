package schemas

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func compiled(t testing.TB) *Set {
	t.Helper()
	s, err := Compile()
	require.NoError(t, err)
	return s
}

// TestEverySchemaHoldsItsExamples covers the ones that are not compiled into a Set, too.
func TestEverySchemaHoldsItsExamples(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(embedded{})
	examples := 0
	require.NoError(t, fs.WalkDir(Files, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || file == "common.json" {
			return err
		}
		schema, err := compiler.Compile(place + file)
		require.NoError(t, err, file)
		text, err := Files.ReadFile(file)
		require.NoError(t, err)
		var own struct {
			Title       string            `json:"title"`
			Description string            `json:"description"`
			Examples    []json.RawMessage `json:"examples"`
		}
		require.NoError(t, json.Unmarshal(text, &own), file)
		require.NotEmpty(t, own.Title, file)
		require.NotEmpty(t, own.Description, file)
		if !strings.HasSuffix(file, "/ping.json") {
			require.NotEmpty(t, own.Examples, file)
		}
		for _, example := range own.Examples {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(example))
			require.NoError(t, err, file)
			require.NoError(t, schema.Validate(value), "%s: %s", file, example)
			examples++
		}
		return nil
	}))
	require.Greater(t, examples, 20)
}

func TestCheck(t *testing.T) {
	s := compiled(t)
	for _, tc := range []struct {
		event, data string
		own         bool
		match       Match
		problem     string
	}{
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A","price":1,"else":[{}]}`, match: Listed},
		{event: "oferta_submitted", data: `{"solicitud_id":12345678901234567890123,"advisor_id":9007199254740993,"price":1152921504606846976}`, match: Listed},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A","price":"secret"}`, match: Listed, problem: "/price is string instead of number"},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A","price":-77}`, match: Listed, problem: "/price is against minimum"},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A"}`, match: Listed, problem: "the data lacks price"},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A","price":1e99999999999}`, match: Listed},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A","price":-1e99999999}`, match: Listed, problem: "/price is against minimum"},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":"A","price":1,"delivery_days":1e-99999999}`, match: Listed, problem: "/delivery_days is number instead of integer"},
		{event: "oferta_submitted", data: `{"solicitud_id":"S","advisor_id":null,"price":true}`, match: Listed, problem: "/advisor_id is null instead of integer or string, and 1 more"},
		{event: "notificacion_aviso", data: `{"user_ids":["a",{}],"text":"x"}`, match: Listed, problem: "/user_ids/1 is object instead of integer or string"},
		{event: "evaluacion_created", data: `{"solicitud_id":"S","stars":6,"client_id":null}`, match: Listed, problem: "/stars is against maximum"},
		{event: "oferta_other", data: `{"solicitud_id":"S","price":"of another kind"}`, match: Family},
		{event: "oferta_other", data: `{"advisor_id":"A"}`, match: Family, problem: "the data lacks solicitud_id"},
		{event: "oferta_other", data: `{"advisor_id":"A"}`, own: true, match: Unlisted},
		{event: "oferta_submitted", data: `{}`, own: true, match: Listed, problem: "the data lacks solicitud_id, advisor_id, price"},
		{event: "pedido_created", data: `{}`, match: Unlisted},
	} {
		match, err := s.Check(tc.event, json.RawMessage(tc.data), tc.own)
		require.Equal(t, tc.match, match, tc.data)
		if tc.problem == "" {
			require.NoError(t, err, tc.data)
			continue
		}
		require.EqualError(t, err, tc.problem, tc.data)
		violation := &ViolationError{}
		require.ErrorAs(t, err, &violation)
	}
}

// TestAbsurdNumbersCostNothing: with as many of them as fit, exact arithmetic would take minutes.
func TestAbsurdNumbersCostNothing(t *testing.T) {
	many := strings.Repeat(`1e999999,`, 7000)
	data := `{"user_id":"u","text":"x","user_ids":[` + many[:len(many)-1] + `]}`
	_, err := compiled(t).Check("notificacion_aviso", json.RawMessage(data), false)
	require.EqualError(t, err, "/user_ids is against maxItems")
}

// keywords are what the schemas of events may consist of. With a keyword that looks at names which no schema has, such as
// additionalProperties, a violation would name what an event holds; so would one that quotes a value.
var keywords = []string{
	"$schema", "title", "description", "type", "properties", "required", "examples", "$ref", "items", "maxItems", "minimum", "maximum",
	"minLength", "maxLength", "enum", "anyOf", "const", "x-ack",
}

// TestSchemasAreBounded: their keywords are known, and no array has more than what is looked at.
func TestSchemasAreBounded(t *testing.T) {
	var hold func(where string, schema map[string]any)
	hold = func(where string, schema map[string]any) {
		for keyword := range schema {
			require.Contains(t, keywords, keyword, where)
		}
		if schema["items"] != nil {
			require.NotNil(t, schema["maxItems"], where)
			require.LessOrEqual(t, schema["maxItems"], float64(mostItems-1), where)
			hold(where+"/items", schema["items"].(map[string]any))
		}
		properties, _ := schema["properties"].(map[string]any)
		for name, property := range properties {
			require.Regexp(t, `^[a-z_]{1,32}$`, name, where)
			hold(where+"/"+name, property.(map[string]any))
		}
		alternatives, _ := schema["anyOf"].([]any)
		for _, alternative := range alternatives {
			hold(where+"/anyOf", alternative.(map[string]any))
		}
	}
	for _, dir := range []string{dirEvents, dirFamilies} {
		for _, name := range Names(dir) {
			text, err := Files.ReadFile(dir + "/" + name + ".json")
			require.NoError(t, err)
			var schema map[string]any
			require.NoError(t, json.Unmarshal(text, &schema))
			hold(name, schema)
		}
	}
}

// TestWhatAViolationSaysIsBounded, however many there are, and is nothing of the data.
func TestWhatAViolationSaysIsBounded(t *testing.T) {
	s := compiled(t)
	many := strings.Repeat(`{"secret":"secret"},`, 3000)
	for event, data := range map[string]string{
		"notificacion_read":  `{"notificacion_ids":[` + many + `"secret"]}`,
		"notificacion_aviso": `{"secret":"secret","text":{"secret":1},"user_ids":[` + many + `null]}`,
		"oferta_submitted":   `{"solicitud_id":"` + strings.Repeat("secret", 9000) + `","advisor_id":["secret"],"price":"secret"}`,
	} {
		_, err := s.Check(event, json.RawMessage(data), false)
		require.Error(t, err, event)
		requireTame(t, err)
	}
}

// said is what a violation may consist of: names that schemas have, types, keywords and numbers.
var said = regexp.MustCompile(`^(the data|(/[a-z_]{1,32}|/[0-9]{1,4}){1,4}) ` +
	`(lacks [a-z_, ]{1,100}|is (null|boolean|object|array|number|integer|string) instead of [a-z ]{1,40}|is against [a-zA-Z]{1,20}|is not allowed|is not JSON)` +
	`(, and [0-9]{1,5} more)?$`)

func requireTame(t testing.TB, err error) {
	t.Helper()
	require.Regexp(t, said, err.Error())
	require.NotContains(t, err.Error(), "secret")
}

func TestText(t *testing.T) {
	for event, title := range map[string]string{
		"oferta_submitted": "OfertaSubmitted", "oferta_other": "OfertaEvent", "connected": "Connected", "refresh_token": "RefreshToken",
	} {
		text, err := Text(event)
		require.NoError(t, err)
		require.Contains(t, string(text), `"title": "`+title+`"`)
	}
	for _, none := range []string{"pedido_created", "", "../common"} {
		_, err := Text(none)
		require.ErrorIs(t, err, ErrUnknown, none)
	}
}

// TestBundle: it stands alone, and means what its parts mean.
func TestBundle(t *testing.T) {
	text, err := Bundle()
	require.NoError(t, err)
	require.NotContains(t, string(text), "common.json")
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource(BundleName, doc))
	whole, err := compiler.Compile(BundleName)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(
		`{"oferta_submitted":{"solicitud_id":"S","advisor_id":"A","price":1},"evaluacion_created":{"solicitud_id":1,"stars":9}}`))
	require.NoError(t, err)
	require.EqualError(t, violation(whole.Validate(value)), "/evaluacion_created/stars is against maximum")
	for _, name := range Names(dirFamilies) {
		_, err := compiler.Compile(BundleName + "#/$defs/" + name + "_event")
		require.NoError(t, err)
	}
}

func BenchmarkCheck(b *testing.B) {
	s := compiled(b)
	for name, data := range map[string]string{
		"small": `{"solicitud_id":"S-1042","oferta_id":"O","advisor_id":"A-9","client_id":"C-3","price":120000,"currency":"COP","delivery_days":2}`,
		"16KiB": `{"solicitud_id":"S-1042","advisor_id":"A-9","price":120000,"text":"` + strings.Repeat("x", 16<<10) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := s.Check("oferta_submitted", json.RawMessage(data), false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheckWorst is data that is as bad as 64 KiB can be.
func BenchmarkCheckWorst(b *testing.B) {
	s := compiled(b)
	data := json.RawMessage(`{"user_id":"u","notificacion_ids":[` + strings.Repeat("{},", 21_000) + `{}]}`)
	b.ReportAllocs()
	for range b.N {
		if _, err := s.Check("notificacion_read", data, false); err == nil {
			b.Fatal("it was taken")
		}
	}
}
