package charts

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

var updateSchemas = flag.Bool("update-schemas", false, "make testdata/schemas.json anew from the modules in which the schemas stand")

const schemasFile = "testdata/schemas.json"

// Where the schemas come from: the API server's own, and the custom resources'.
const (
	kubernetesModule = "k8s.io/kubernetes@v1.33.13"
	gatewayModule    = "sigs.k8s.io/gateway-api@v1.4.1"
	operatorModule   = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

var modules = []string{kubernetesModule, gatewayModule, operatorModule}

// builtIn are the kinds that Kubernetes brings, by the file of its OpenAPI description.
var builtIn = map[string][]string{
	"api__v1": {
		"io.k8s.api.core.v1.ConfigMap", "io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.Secret", "io.k8s.api.core.v1.Service",
		"io.k8s.api.core.v1.ServiceAccount",
	},
	"apis__apps__v1":              {"io.k8s.api.apps.v1.Deployment"},
	"apis__autoscaling__v2":       {"io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler"},
	"apis__networking.k8s.io__v1": {"io.k8s.api.networking.v1.Ingress", "io.k8s.api.networking.v1.NetworkPolicy"},
	"apis__policy__v1":            {"io.k8s.api.policy.v1.PodDisruptionBudget"},
}

// custom are the definitions of custom resources, by module.
var custom = map[string][]string{
	gatewayModule: {"config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml"},
	operatorModule: {
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
}

// schemas has the definition of each kind, as "apiVersion Kind", and those that they refer to.
type schemas struct {
	From        []string                  `json:"from"`
	Kinds       map[string]string         `json:"kinds"`
	Definitions map[string]map[string]any `json:"definitions"`
}

// What the objects are held against is of the versions above, and has every kind; with -update-schemas it is made anew.
func TestSchemas(t *testing.T) {
	if *updateSchemas {
		rewriteSchemas(t)
	}
	text, err := os.ReadFile(schemasFile)
	require.NoError(t, err)
	var s schemas
	require.NoError(t, json.Unmarshal(text, &s))
	require.Equal(t, modules, s.From)
	for _, kinds := range builtIn {
		for _, kind := range kinds {
			require.Contains(t, s.Definitions, kind)
		}
	}
	for _, custom := range []string{"HTTPRoute", "ServiceMonitor", "PrometheusRule"} {
		require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(s.Kinds)), func(kind string) bool { return strings.HasSuffix(kind, " "+custom) }), custom)
	}
}

func rewriteSchemas(t *testing.T) {
	t.Helper()
	s := schemas{From: modules, Kinds: map[string]string{}, Definitions: map[string]map[string]any{}}
	for file, kinds := range builtIn {
		s.addBuiltIn(t, filepath.Join(moduleDir(t, kubernetesModule), "api/openapi-spec/v3", file+"_openapi.json"), kinds)
	}
	for module, files := range custom {
		for _, file := range files {
			s.addCustom(t, filepath.Join(moduleDir(t, module), file))
		}
	}
	text, err := json.MarshalIndent(s, "", " ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(schemasFile, append(text, '\n'), 0o644))
}

func moduleDir(t *testing.T, module string) string {
	t.Helper()
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = t.TempDir() // not of this module
	out, err := cmd.Output()
	require.NoError(t, err)
	var found struct {
		Dir string `json:"Dir"`
	}
	require.NoError(t, json.Unmarshal(out, &found))
	return found.Dir
}

func (s *schemas) addBuiltIn(t *testing.T, file string, kinds []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var spec struct {
		Components struct {
			Schemas map[string]map[string]any `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(text, &spec))
	var add func(name string)
	add = func(name string) {
		if _, there := s.Definitions[name]; there {
			return
		}
		definition := spec.Components.Schemas[name]
		require.NotNil(t, definition, name)
		s.Definitions[name] = strict(definition, add).(map[string]any)
	}
	for _, name := range kinds {
		add(name)
		for _, one := range spec.Components.Schemas[name]["x-kubernetes-group-version-kind"].([]any) {
			gvk := one.(map[string]any)
			version := strings.TrimPrefix(fmt.Sprintf("%v/%v", gvk["group"], gvk["version"]), "/")
			s.Kinds[fmt.Sprintf("%s %v", version, gvk["kind"])] = name
		}
	}
}

func (s *schemas) addCustom(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var crd struct {
		Spec struct {
			Group    string `yaml:"group"`
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &crd))
	for _, v := range crd.Spec.Versions {
		if v.Name != "v1" {
			continue
		}
		kind := fmt.Sprintf("%s/%s %s", crd.Spec.Group, v.Name, crd.Spec.Names.Kind)
		s.Kinds[kind] = kind
		s.Definitions[kind] = strict(v.Schema.OpenAPIV3Schema, nil).(map[string]any)
	}
}

// strict drops what only describes, and forbids fields that are not described, as the API server's strict validation
// does. refer is told the definitions that are referred to.
func strict(node any, refer func(string)) any {
	switch node := node.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range node {
			switch {
			case key == "description", key == "default", key == "format", strings.HasPrefix(key, "x-kubernetes-"):
			case key == "properties":
				fields := map[string]any{}
				for name, field := range value.(map[string]any) {
					fields[name] = strict(field, refer)
				}
				out[key] = fields
			case key == "$ref":
				name := strings.TrimPrefix(value.(string), "#/components/schemas/")
				refer(name)
				out[key] = "#/definitions/" + name
			default:
				out[key] = strict(value, refer)
			}
		}
		_, properties := out["properties"].(map[string]any)
		_, additional := out["additionalProperties"]
		if properties && !additional && node["x-kubernetes-preserve-unknown-fields"] != true && out["type"] == "object" {
			out["additionalProperties"] = false
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i := range node {
			out[i] = strict(node[i], refer)
		}
		return out
	default:
		return node
	}
}

// validator checks objects by their kinds' schemas.
type validator struct {
	compiler *jsonschema.Compiler
	kinds    map[string]string
}

func newValidator(t *testing.T) *validator {
	t.Helper()
	text, err := os.ReadFile(schemasFile)
	require.NoError(t, err)
	var s schemas
	require.NoError(t, json.Unmarshal(text, &s))
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	v := &validator{compiler: jsonschema.NewCompiler(), kinds: s.Kinds}
	v.compiler.DefaultDraft(jsonschema.Draft7)
	require.NoError(t, v.compiler.AddResource("schemas.json", doc))
	return v
}

func (v *validator) check(t *testing.T, o object) error {
	t.Helper()
	kind := fmt.Sprintf("%v %v", o["apiVersion"], o["kind"])
	name, known := v.kinds[kind]
	if !known {
		return fmt.Errorf("no schema of %s", kind)
	}
	schema, err := v.compiler.Compile("schemas.json#/definitions/" + strings.NewReplacer("~", "~0", "/", "~1", " ", "%20").Replace(name))
	require.NoError(t, err)
	// By way of JSON: YAML's numbers are of other types.
	text, err := json.Marshal(o)
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	require.NoError(t, err)
	return schema.Validate(doc)
}
