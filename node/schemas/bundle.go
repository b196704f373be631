package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
)

// BundleName is the address of the bundle.
const BundleName = place + "events.schema.json"

var (
	ownDialect     = regexp.MustCompile(`(?m)^\s*"\$schema": .*\n`)
	outerReference = regexp.MustCompile(`"\.\./common\.json#/\$defs/`)
	localReference = regexp.MustCompile(`"#/\$defs/([a-z_]+)"`)
)

// Bundle is one JSON Schema with all of the Core API's events, for tools that generate code: each is below $defs by its
// name, a kind as kind_event, and a property of the whole.
func Bundle() ([]byte, error) {
	definitions, texts := make([]member, 0, 32), make([][]byte, 0, 32)
	properties := make([]member, 0, 16)
	for _, dir := range []string{dirEvents, dirFamilies} {
		for _, name := range Names(dir) {
			text, err := Files.ReadFile(dir + "/" + name + ".json")
			if err != nil {
				return nil, err
			}
			if dir == dirFamilies {
				name += "_event"
			} else {
				properties = append(properties, member{name, fmt.Appendf(nil, `{"$ref": "#/$defs/%s"}`, name)})
			}
			text = outerReference.ReplaceAll(ownDialect.ReplaceAll(text, nil), []byte(`"#/$$defs/`))
			definitions, texts = append(definitions, member{name, text}), append(texts, text)
		}
	}
	shared, err := sharedDefinitions(texts)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, object([]member{
		{"$schema", []byte(`"https://json-schema.org/draft/2020-12/schema"`)},
		{"$id", []byte(`"` + BundleName + `"`)},
		{"title", []byte(`"Events"`)},
		{"description", []byte(`"The data of each event that the Core API writes, by its name. Made by gateway schemas; do not edit."`)},
		{"type", []byte(`"object"`)},
		{"properties", object(properties)},
		{"$defs", object(append(definitions, shared...))},
	}), "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}

// sharedDefinitions are those of common.json that schemas refer to, and those that these refer to.
func sharedDefinitions(used [][]byte) ([]member, error) {
	text, err := Files.ReadFile("common.json")
	if err != nil {
		return nil, err
	}
	var common struct {
		Definitions map[string]json.RawMessage `json:"$defs"`
	}
	if err := json.Unmarshal(text, &common); err != nil {
		return nil, err
	}
	var shared []member
	seen := map[string]bool{}
	for i := 0; i < len(used); i++ {
		for _, found := range localReference.FindAllSubmatch(used[i], -1) {
			name := string(found[1])
			if seen[name] || common.Definitions[name] == nil {
				continue
			}
			seen[name] = true
			shared = append(shared, member{name, common.Definitions[name]})
			used = append(used, common.Definitions[name])
		}
	}
	return shared, nil
}

// member is a name and a value in JSON.
type member struct {
	name  string
	value []byte
}

// object keeps the order, which a map would not.
func object(members []member) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", m.name, m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}
