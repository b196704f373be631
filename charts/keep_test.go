package charts

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// apiServer answers as much of Kubernetes' API as helm's lookup asks for, and has one Secret.
func apiServer(t *testing.T, secret func() map[string]any) (kubeconfig string) {
	t.Helper()
	group := func(name string, kinds map[string]string) map[string]any {
		list := map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name}
		var resources []any
		for plural, kind := range kinds {
			resources = append(resources, map[string]any{"name": plural, "namespaced": true, "kind": kind, "verbs": []string{"get", "list"}})
		}
		list["resources"] = resources
		return list
	}
	var groups []any
	for _, name := range []string{"apps", "networking.k8s.io", "policy"} {
		version := map[string]any{"groupVersion": name + "/v1", "version": "v1"}
		groups = append(groups, map[string]any{"name": name, "versions": []any{version}, "preferredVersion": version})
	}
	answers := map[string]any{
		"/version": map[string]any{"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
		"/api":     map[string]any{"kind": "APIVersions", "versions": []string{"v1"}},
		"/apis":    map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
		"/api/v1": group("v1", map[string]string{
			"secrets": "Secret", "services": "Service", "serviceaccounts": "ServiceAccount", "pods": "Pod", "configmaps": "ConfigMap",
		}),
		"/apis/apps/v1":              group("apps/v1", map[string]string{"deployments": "Deployment"}),
		"/apis/networking.k8s.io/v1": group("networking.k8s.io/v1", map[string]string{"networkpolicies": "NetworkPolicy"}),
		"/apis/policy/v1":            group("policy/v1", map[string]string{"poddisruptionbudgets": "PodDisruptionBudget"}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, known := answers[r.URL.Path]
		if r.URL.Path == "/api/v1/namespaces/"+namespace+"/secrets/"+release+"-gateway" {
			if data := secret(); data != nil {
				meta := map[string]any{
					"name": release + "-gateway", "namespace": namespace,
					"labels":      map[string]any{"app.kubernetes.io/managed-by": "Helm"},
					"annotations": map[string]any{"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace},
				}
				answer, known = map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}, true
			}
		}
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": http.StatusNotFound}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "%s"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server.URL), 0o600))
	return kubeconfig
}

func TestGeneratedSecretsAreKept(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		var data map[string]any
		run.env = []string{"KUBECONFIG=" + apiServer(t, func() map[string]any { return data })}
		install := func(values string) object {
			t.Helper()
			return of(t, run.render(t, "", minimal+values, "--dry-run=server", "--disable-openapi-validation"), "Secret", 1)[0]
		}
		first := install("")
		require.Equal(t, "keep", first.at("metadata", "annotations", "helm.sh/resource-policy"))
		data = first["data"].(map[string]any)
		require.Len(t, data, 3)
		seen := map[string]bool{}
		for key, value := range data {
			plain, err := base64.StdEncoding.DecodeString(value.(string))
			require.NoError(t, err)
			require.Len(t, plain, 48, "%s: production asks for 32 or more", key)
			require.False(t, seen[string(plain)], "each is its own")
			seen[string(plain)] = true
		}

		require.Equal(t, data, install("")["data"], "an upgrade changes nothing")
		require.Equal(t, data, install("admin: {enabled: false}\n")["data"], "what is not used any more stays")
		delete(data, "admin-api-key")
		again := install("")["data"].(map[string]any)
		require.Len(t, again, 3, "what is missing is made")
		require.Equal(t, data["jwt-secret-key"], again["jwt-secret-key"])

		data = nil
		one, other := install(""), install("")
		require.NotEqual(t, one["data"], other["data"], "without that memory each is new")
	})
}

// TestUpgradeChangesOnlyTheImage: another tag must roll the pods and leave the rest alone, or a selector would clash.
func TestUpgradeChangesOnlyTheImage(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		for _, file := range examples(t) {
			before := run.render(t, file, "image: {tag: '1', digest: ''}")
			after := run.render(t, file, "image: {tag: '2', digest: ''}")
			require.Len(t, after, len(before), file)
			for i := range before {
				if before[i].kind() == "Secret" {
					continue
				}
				old, err := json.Marshal(before[i])
				require.NoError(t, err)
				now, err := json.Marshal(after[i])
				require.NoError(t, err)
				swapped := strings.NewReplacer(`version":"1"`, `version":"2"`, `:1","imagePull`, `:2","imagePull`).Replace(string(old))
				require.JSONEq(t, swapped, string(now), "%s: %s", file, before[i].kind())
			}
		}
	})
}
