package charts

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTheProgramTakesTheConfiguration gives the program each example's environment, as a pod would have it.
func TestTheProgramTakesTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "gateway")
	out, err := exec.Command("go", "build", "-o", program, "../cmd/gateway").CombinedOutput()
	require.NoError(t, err, string(out))
	writeSecrets(t, dir)

	run := helm{path: helms[0]}
	for _, file := range examples(t) {
		cmd := exec.Command(program, "--env-file", "", "config")
		cmd.Dir = dir
		for name, value := range of(t, run.render(t, file, ""), "Deployment", 1)[0].env() {
			cmd.Env = append(cmd.Env, name+"="+inPod(name, value, dir))
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", file, out)
		require.NotContains(t, string(out), "warning", file)
	}
}

// writeSecrets puts below dir what the examples' Secrets have below /etc/gateway in a container.
func writeSecrets(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, certificate, certificate, &key.PublicKey, key)
	require.NoError(t, err)
	for name, block := range map[string]pem.Block{
		"jwt/public.pem":     {Type: "PUBLIC KEY", Bytes: public},
		"redis-ca/ca.crt":    {Type: "CERTIFICATE", Bytes: signed},
		"redis-cert/tls.crt": {Type: "CERTIFICATE", Bytes: signed},
		"redis-cert/tls.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&block), 0o600))
	}
}

// inPod is the value that a variable has in the container, whose /etc/gateway is secrets.
func inPod(name, value, secrets string) string {
	switch {
	case name == "REDIS_URL" && strings.HasPrefix(value, "secret "):
		return "rediss://gateway:password@redis.example:6380/0"
	case strings.HasPrefix(value, "secret "):
		return strings.Repeat("s", 24) + strings.Repeat("t", 24)
	case value == "field status.podIP":
		return "10.1.2.3"
	case value == "field metadata.name":
		return "rt-gateway-6d5f7c9b8-x2x4z"
	case strings.HasPrefix(value, "/etc/gateway/"):
		return filepath.Join(secrets, strings.TrimPrefix(value, "/etc/gateway/"))
	default:
		return value
	}
}
