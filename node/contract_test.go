package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/teloo/realtime-gateway/node/auth"
	"github.com/teloo/realtime-gateway/node/schemas"
	"github.com/teloo/realtime-gateway/presence"
)

// named finds, in this package's sources, the events that it emits or listens to.
func named(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(pattern).FindAllSubmatch(text, -1) {
			names = append(names, string(found[1]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestEveryEventHasItsSchema: frontends' types are made of them.
func TestEveryEventHasItsSchema(t *testing.T) {
	emitted := named(t, `\.emit\([a-z.]+, "([a-z_]+)"`)
	require.Contains(t, emitted, "token_expiring")
	// connected and sync are the adapter's to send, the others announced through the log.
	emitted = append(emitted, "connected", "sync", "user_joined", "user_left")
	require.ElementsMatch(t, schemas.Names("server"), emitted)
	require.ElementsMatch(t, schemas.Names("client"), named(t, `\bon\("([a-z_]+)", func`))
}

type fromSchemas struct{}

func (fromSchemas) Load(address string) (any, error) {
	text, err := schemas.Files.ReadFile(strings.TrimPrefix(address, "schema:///"))
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
}

// TestWhatIsSentKeepsItsSchema covers what this package puts into its events and acks.
func TestWhatIsSentKeepsItsSchema(t *testing.T) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(fromSchemas{})
	hold := func(file string, payload any) {
		t.Helper()
		text, err := json.Marshal(payload)
		require.NoError(t, err)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err)
		schema, err := compiler.Compile("schema:///" + file)
		require.NoError(t, err)
		require.NoError(t, schema.Validate(value), "%s: %s", file, text)
	}
	hold("server/connected.json", connectedEvent{UserID: "u", Role: RoleClient, Rooms: []string{"client"}, Node: "n"})
	hold("server/token_expiring.json", expiringEvent{ExpiresAt: 1767225600000})
	for _, code := range []string{"grant_withdrawn", "forbidden"} {
		hold("server/unsubscribed.json", unsubscribed{Room: "solicitud_1", Code: code, Message: "m"})
	}
	for _, joined := range []bool{true, false} {
		a, err := MemberAnnouncement(joined, presence.Member{User: "u", Role: RoleAdvisor, Room: "solicitud_1"})
		require.NoError(t, err)
		hold("server/"+a.Event+".json", a.Data)
	}
	for _, err := range []error{
		errBadRequest, errForbidden, errTooManyRooms, errUnavailable, errRateLimited, errEventFlood, errors.New("another"),
	} {
		hold("server/error.json", answerOf(err))
		hold("common.json#/$defs/subscription_answer", answer{Error: answerOf(err)})
	}
	hold("common.json#/$defs/subscription_answer", answer{OK: true, Room: "solicitud_1"})
	for _, err := range []error{auth.ErrTokenMissing, auth.ErrTokenInvalid, auth.ErrTokenExpired, auth.ErrTokenRevoked, auth.ErrRoleUnknown, errUnavailable} {
		hold("server/token_expired.json", wireErrorOf(err))
		hold("common.json#/$defs/refresh_answer", refreshAnswer{Error: wireErrorOf(err)})
	}
	hold("common.json#/$defs/refresh_answer", refreshAnswer{OK: true, ExpiresAt: 1767225600000, Role: RoleClient, Rooms: []string{"client"}})
	for _, code := range RefusalReasons() {
		hold("common.json#/$defs/refusal", map[string]any{"code": code})
	}
}
