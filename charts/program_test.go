package charts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheProgramTakesTheConfiguration gives the program each example's environment, as a pod would have it.
func TestTheProgramTakesTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "gateway")
	out, err := exec.Command("go", "build", "-o", program, "../cmd/gateway").CombinedOutput()
	require.NoError(t, err, string(out))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	public := filepath.Join(dir, "public.pem")
	require.NoError(t, os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))

	run := helm{path: helms[0]}
	for _, file := range examples(t) {
		cmd := exec.Command(program, "--env-file", "", "config")
		cmd.Dir = dir
		for name, value := range of(t, run.render(t, file, ""), "Deployment", 1)[0].env() {
			cmd.Env = append(cmd.Env, name+"="+inPod(name, value, public))
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", file, out)
		require.NotContains(t, string(out), "warning", file)
	}
}

// inPod is the value that a variable has in the container.
func inPod(name, value, public string) string {
	switch {
	case name == "REDIS_URL" && strings.HasPrefix(value, "secret "):
		return "rediss://gateway:password@redis.example:6380/0"
	case strings.HasPrefix(value, "secret "):
		return strings.Repeat("s", 24) + strings.Repeat("t", 24)
	case value == "field status.podIP":
		return "10.1.2.3"
	case value == "field metadata.name":
		return "rt-gateway-6d5f7c9b8-x2x4z"
	case name == "JWT_PUBLIC_KEY_PATH":
		return public
	default:
		return value
	}
}
