package charts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

const release, namespace = "rt", "teloo"

var errNoHelm = errors.New("no helm is here: `make chart` builds it, once per machine")

// helms are the programs to test with.
var helms []string

func TestMain(m *testing.M) {
	var err error
	if helms, err = findHelms(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// findHelms gives those that HELM names, separated by blanks, else those that `make` has built.
func findHelms() ([]string, error) {
	if named := strings.Fields(os.Getenv("HELM")); len(named) > 0 {
		return named, nil
	}
	gopath, err := exec.Command("go", "env", "GOPATH").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(gopath)), "bin", "helm-v*"))
	if err == nil && len(found) == 0 {
		err = errNoHelm
	}
	return found, err
}

// eachHelm runs a test with each of them.
func eachHelm(t *testing.T, test func(t *testing.T, run helm)) {
	t.Helper()
	for _, path := range helms {
		t.Run(filepath.Base(path), func(t *testing.T) { test(t, helm{path: path}) })
	}
}

type helm struct {
	path string
	env  []string
}

// run gives what helm wrote to its two outputs, and how it ended.
func (h helm) run(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command(h.path, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &out, &errs, strings.NewReader(stdin)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "HELM_CACHE_HOME=" + home, "KUBECONFIG=" + home + "/none"}, h.env...)
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// render gives the objects that the chart makes of values (YAML) on top of a file in ci ("": none).
func (h helm) render(t *testing.T, file, values string, more ...string) []object {
	t.Helper()
	args := []string{"template", release, "gateway", "--namespace", namespace}
	if file != "" {
		args = append(args, "--values", file)
	}
	// Of several files the last wins.
	args = append(args, "--values", "-")
	out, errs, err := h.run(t, values, append(args, more...)...)
	require.NoError(t, err, errs)
	return objects(t, out)
}

// object is one manifest.
type object map[string]any

func objects(t *testing.T, text string) []object {
	t.Helper()
	var all []object
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o map[string]any // of type object, the maps in it would be objects too
		if err := decoder.Decode(&o); err != nil {
			require.EqualError(t, err, "EOF", text)
			return all
		}
		if o != nil {
			all = append(all, o)
		}
	}
}

// at follows keys and indices; nil where there is nothing.
func (o object) at(path ...any) any {
	var here any = map[string]any(o)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := here.(map[string]any)
			here = m[step]
		case int:
			list, _ := here.([]any)
			if step >= len(list) {
				return nil
			}
			here = list[step]
		}
	}
	return here
}

func (o object) kind() string { return fmt.Sprint(o["kind"]) }

func (o object) name() string { return fmt.Sprint(o.at("metadata", "name")) }

// of gives the objects of a kind; their number has to be as wanted.
func of(t *testing.T, all []object, kind string, want int) []object {
	t.Helper()
	var found []object
	for _, o := range all {
		if o.kind() == kind {
			found = append(found, o)
		}
	}
	require.Len(t, found, want, kind)
	return found
}

// pod is the pod's template, or the pod itself.
func (o object) pod() object {
	switch o.kind() {
	case "Deployment":
		return o.at("spec", "template").(map[string]any)
	case "Pod":
		return o
	default:
		return nil
	}
}

// env gives the first container's variables; those from elsewhere as "kind name/key".
func (o object) env() map[string]string {
	vars := map[string]string{}
	list, _ := o.pod().at("spec", "containers", 0, "env").([]any)
	for _, one := range list {
		v := object(one.(map[string]any))
		switch {
		case v.at("valueFrom", "secretKeyRef") != nil:
			vars[fmt.Sprint(v["name"])] = fmt.Sprintf("secret %v/%v", v.at("valueFrom", "secretKeyRef", "name"), v.at("valueFrom", "secretKeyRef", "key"))
		case v.at("valueFrom", "fieldRef") != nil:
			vars[fmt.Sprint(v["name"])] = fmt.Sprintf("field %v", v.at("valueFrom", "fieldRef", "fieldPath"))
		default:
			vars[fmt.Sprint(v["name"])] = fmt.Sprint(v["value"])
		}
	}
	return vars
}

// mounted is the Secret and its key, as "name/key", that the first container finds at a path. It has to be mounted
// read-only, and not for everybody.
func (o object) mounted(t *testing.T, path string) string {
	t.Helper()
	dir, base := filepath.Split(path)
	spec := object(o.pod().at("spec").(map[string]any))
	mounts, _ := spec.at("containers", 0, "volumeMounts").([]any)
	volumes, _ := spec["volumes"].([]any)
	for _, one := range mounts {
		mount := object(one.(map[string]any))
		if mount["mountPath"] != filepath.Clean(dir) {
			continue
		}
		require.Equal(t, true, mount["readOnly"], path)
		for _, other := range volumes {
			volume := object(other.(map[string]any))
			items, _ := volume.at("secret", "items").([]any)
			for _, item := range items {
				if i := object(item.(map[string]any)); volume["name"] == mount["name"] && i["path"] == base {
					return fmt.Sprintf("%v/%v", volume.at("secret", "secretName"), i["key"])
				}
			}
		}
	}
	require.Fail(t, "nothing is mounted there", path)
	return ""
}

// examples are the files of values in ci.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("gateway/ci/*-values.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}
