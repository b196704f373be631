package doctor

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// onlyOnACluster are rights that a single server's user need not have.
var onlyOnACluster = []string{"spublish", "ssubscribe", "pubsub|shardchannels", "pubsub|shardnumsub", "cluster|slots"}

// TestPermissionsAreThoseOfTheExample: the example's user has exactly the rights that are examined, a Cluster's besides.
func TestPermissionsAreThoseOfTheExample(t *testing.T) {
	text, err := os.ReadFile("../../../deploy/redis/users.acl")
	require.NoError(t, err)
	line, _, _ := strings.Cut(string(text), "\n")
	require.True(t, strings.HasPrefix(line, "user gateway "))
	var given, examined []string
	for rule := range strings.FieldsSeq(line) {
		if right, is := strings.CutPrefix(rule, "+"); is && !slices.Contains(onlyOnACluster, right) {
			given = append(given, right)
		}
	}
	for _, command := range commands {
		words := strings.Fields(strings.ToLower(command))
		if slices.Contains([]string{"client", "pubsub", "xgroup", "xinfo"}, words[0]) {
			words[0] += "|" + words[1]
		}
		examined = append(examined, words[0])
	}
	require.ElementsMatch(t, given, examined)
}
