package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/schemas"
	"github.com/teloo/realtime-gateway/streams"
)

// eventSchema is what tests look at of an event's schema.
type eventSchema struct {
	Properties map[string]struct {
		Description string `json:"description"`
	} `json:"properties"`
	Required []string         `json:"required"`
	Examples []map[string]any `json:"examples"`
}

// eachSchema calls do for each schema of the Core API's events, a kind's with a name that has none of its own.
func eachSchema(t *testing.T, do func(event string, schema eventSchema)) {
	t.Helper()
	for dir, suffix := range map[string]string{"events": "", "families": "_of_another_name"} {
		for _, name := range schemas.Names(dir) {
			text, err := schemas.Files.ReadFile(dir + "/" + name + ".json")
			require.NoError(t, err)
			var schema eventSchema
			require.NoError(t, json.Unmarshal(text, &schema))
			do(name+suffix, schema)
		}
	}
}

func routed(t *testing.T, event string, data map[string]any) (rooms []string, grants []streams.Grant, err error) {
	t.Helper()
	text, err := json.Marshal(data)
	require.NoError(t, err)
	return Route(streams.Event{Name: event, Data: text})
}

// TestSchemasNameWhatRoutingReads: so frontends' types and the Core API's models have it, and the kinds that have schemas
// are those of the table.
func TestSchemasNameWhatRoutingReads(t *testing.T) {
	require.ElementsMatch(t, schemas.Names("families"), named(t, `\n\tcase "([a-z]+)":\n\t\trooms, err`))
	fields := map[string]any{
		"solicitud_id": "other", "client_id": "other", "advisor_id": "other", "user_id": "other", "role": RoleAdvisor, "user_ids": []string{"other"},
	}
	eachSchema(t, func(event string, schema eventSchema) {
		for _, example := range schema.Examples {
			_, _, err := routed(t, event, example)
			require.NoError(t, err, "%s %v", event, example)
		}
		for field, value := range fields {
			with, without := maps.Clone(schema.Examples[0]), maps.Clone(schema.Examples[0])
			with[field] = value
			delete(without, field)
			rooms, grants, err := routed(t, event, with)
			otherRooms, otherGrants, otherErr := routed(t, event, without)
			if fmt.Sprint(rooms, grants, err) == fmt.Sprint(otherRooms, otherGrants, otherErr) {
				continue
			}
			require.Contains(t, schema.Properties, field, event)
			if otherErr != nil && field == "solicitud_id" {
				require.Contains(t, schema.Required, field, event)
			}
		}
	})
}

// TestSchemasSayWhoGetsAnEvent: their words are what the Core API's team goes by.
func TestSchemasSayWhoGetsAnEvent(t *testing.T) {
	checked := 0
	eachSchema(t, func(event string, schema eventSchema) {
		for _, field := range []string{"client_id", "advisor_id"} {
			property, has := schema.Properties[field]
			if !has {
				continue
			}
			rooms, grants, err := routed(t, event, map[string]any{"solicitud_id": "S", field: "U"})
			require.NoError(t, err, event)
			for words, so := range map[string]bool{"gets the event": slices.Contains(rooms, UserRoom("U")), "may subscribe": len(grants) > 0} {
				if so {
					require.Contains(t, property.Description, words, "%s %s", event, field)
				} else {
					require.NotContains(t, property.Description, words, "%s %s", event, field)
				}
			}
			checked++
		}
	})
	require.Greater(t, checked, 10)
}
