package charts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const minimal = "redis: {url: 'redis://redis:6379/0'}\n"

func TestLint(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		for _, file := range examples(t) {
			out, errs, err := run.run(t, "", "lint", "--strict", "gateway", "--values", file)
			require.NoError(t, err, "%s\n%s%s", file, out, errs)
		}
	})
}

// TestExamples holds every object of every example to its kind's schema and to what each pod has to be.
func TestExamples(t *testing.T) {
	v := newValidator(t)
	eachHelm(t, func(t *testing.T, run helm) {
		kinds := map[string]bool{}
		for _, file := range examples(t) {
			for _, o := range run.render(t, file, "") {
				where := fmt.Sprintf("%s: %s %s", file, o.kind(), o.name())
				kinds[o.kind()] = true
				require.NoError(t, v.check(t, o), where)
				require.Equal(t, namespace, o.at("metadata", "namespace"), where)
				require.Equal(t, release, o.at("metadata", "labels", "app.kubernetes.io/instance"), where)
				require.LessOrEqual(t, len(o.name()), 63, where)
				if pod := o.pod(); pod != nil {
					restricted(t, where, pod)
				}
			}
		}
		for _, kind := range []string{
			"Deployment", "Service", "Secret", "ServiceAccount", "Pod", "Ingress", "HTTPRoute", "HorizontalPodAutoscaler",
			"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PrometheusRule", "ConfigMap",
		} {
			require.True(t, kinds[kind], "no example has a %s", kind)
		}
	})
}

func TestSchemasAreStrict(t *testing.T) {
	v := newValidator(t)
	o := object{"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"type": "ClusterIP"}}
	require.NoError(t, v.check(t, o))
	o["spec"] = map[string]any{"tpye": "ClusterIP"}
	require.ErrorContains(t, v.check(t, o), "tpye")
	o["spec"] = map[string]any{"ports": []any{map[string]any{"port": "eighty"}}}
	require.ErrorContains(t, v.check(t, o), "port")
	require.ErrorContains(t, v.check(t, object{"apiVersion": "v1", "kind": "Pig"}), "no schema")
}

// restricted is the Pod Security Standard of that name, and what this project asks for besides.
func restricted(t *testing.T, where string, pod object) {
	t.Helper()
	spec := object(pod.at("spec").(map[string]any))
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		require.Nil(t, spec[field], where)
	}
	require.Equal(t, false, spec["automountServiceAccountToken"], where)
	require.Equal(t, false, spec["enableServiceLinks"], where)
	require.Equal(t, true, spec.at("securityContext", "runAsNonRoot"), where)
	require.EqualValues(t, 65532, spec.at("securityContext", "runAsUser"), where)
	require.Equal(t, "RuntimeDefault", spec.at("securityContext", "seccompProfile", "type"), where)
	require.Nil(t, spec["initContainers"], where)
	volumes, _ := spec["volumes"].([]any)
	for _, volume := range volumes {
		require.Contains(t, volume, "secret", where)
	}
	for _, one := range spec["containers"].([]any) {
		c := object(one.(map[string]any))
		require.Equal(t, false, c.at("securityContext", "allowPrivilegeEscalation"), where)
		require.Equal(t, true, c.at("securityContext", "readOnlyRootFilesystem"), where)
		require.Equal(t, []any{"ALL"}, c.at("securityContext", "capabilities", "drop"), where)
		require.Nil(t, c.at("securityContext", "capabilities", "add"), where)
		for _, kind := range []string{"requests", "limits"} {
			for _, of := range []string{"cpu", "memory"} {
				require.NotNil(t, c.at("resources", kind, of), "%s: resources.%s.%s", where, kind, of)
			}
		}
	}
}

func TestPartsFitTogether(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		all := run.render(t, "gateway/ci/nginx-values.yaml", "drain: {preStopSeconds: 7, windowSeconds: 40, shutdownSeconds: 50}")
		d := of(t, all, "Deployment", 1)[0]
		require.EqualValues(t, 62, d.at("spec", "template", "spec", "terminationGracePeriodSeconds"), "preStop, shutdown and 5 s")
		require.Equal(t, "40s", d.env()["DRAIN_WINDOW"])
		require.Equal(t, "50s", d.env()["SHUTDOWN_TIMEOUT"])
		require.EqualValues(t, 0, d.at("spec", "strategy", "rollingUpdate", "maxUnavailable"))
		require.Nil(t, d.at("spec", "replicas"), "the autoscaler's")

		labels := d.at("spec", "template", "metadata", "labels").(map[string]any)
		test := of(t, all, "Pod", 1)[0].at("metadata", "labels").(map[string]any)
		for _, s := range of(t, all, "Service", 2) {
			selector := s.at("spec", "selector").(map[string]any)
			require.Subset(t, labels, selector)
			require.NotSubset(t, test, selector, "clients must not be sent to the test")
		}
		require.Equal(t, d.env()["CLUSTER_SEEDS"], of(t, all, "Service", 2)[1].name()+":7946")
		for _, kind := range []string{"PodDisruptionBudget"} {
			require.Subset(t, labels, of(t, all, kind, 1)[0].at("spec", "selector", "matchLabels"))
		}
		require.Equal(t, d.name(), of(t, all, "HorizontalPodAutoscaler", 1)[0].at("spec", "scaleTargetRef", "name"))
		require.Equal(t, "private", d.env()["TRUSTED_PROXIES"], "behind an Ingress")
		require.Equal(t, "cookie", of(t, all, "Ingress", 1)[0].at("metadata", "annotations", "nginx.ingress.kubernetes.io/affinity"))

		policy := of(t, all, "NetworkPolicy", 1)[0]
		require.Equal(t, []any{"Ingress", "Egress"}, policy.at("spec", "policyTypes"))
		require.Subset(t, labels, policy.at("spec", "ingress", 2, "from", 0, "podSelector", "matchLabels"), "gossip is among the nodes")
		require.Contains(t, policy.at("spec", "ingress", 2, "ports"), map[string]any{"protocol": "TCP", "port": "http"}, "nodes pass requests on")
		require.Len(t, policy.at("spec", "egress"), 3, "names, Redis, the other nodes")
		require.Len(t, policy.at("spec", "egress", 2, "ports"), 3, "gossip, and requests that are passed on")
		require.NotEmpty(t, policy.at("spec", "egress", 1, "to"))

		traefik := of(t, run.render(t, "gateway/ci/traefik-values.yaml", ""), "Service", 2)[0]
		require.Equal(t, "true", traefik.at("metadata", "annotations", "traefik.ingress.kubernetes.io/service.sticky.cookie"))
	})
}

var exampleVariable = regexp.MustCompile(`(?m)^#?([A-Z_]+)=`)

func TestTheProgramKnowsTheVariables(t *testing.T) {
	text, err := os.ReadFile("../.env.example")
	require.NoError(t, err)
	known := map[string]bool{"GOGC": true} // an example's own
	for _, found := range exampleVariable.FindAllStringSubmatch(string(text), -1) {
		known[found[1]] = true
	}
	eachHelm(t, func(t *testing.T, run helm) {
		for _, file := range examples(t) {
			for _, o := range run.render(t, file, "") {
				if o.pod() == nil {
					continue
				}
				for name := range o.env() {
					require.True(t, known[name], "%s: %s sets %s", file, o.kind(), name)
				}
			}
		}
		env := of(t, run.render(t, "gateway/ci/traefik-values.yaml", ""), "Deployment", 1)[0].env()
		require.Equal(t, "134217728", env["RING_MAX_BYTES"], "not 1.34217728e+08")
	})
}

func TestSecretsByReference(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		all := run.render(t, "gateway/ci/secrets-values.yaml", "")
		of(t, all, "Secret", 0)
		env := of(t, all, "Deployment", 1)[0].env()
		for name, want := range map[string]string{
			"JWT_SECRET_KEY": "secret tokens/shared", "CLUSTER_SECRET": "secret gossip/secret", "ADMIN_API_KEY": "secret operators/api-key",
			"REDIS_PASSWORD": "secret redis-acl/password", "REDIS_SENTINEL_PASSWORD": "secret redis-acl/sentinel",
			"JWT_PUBLIC_KEY_PATH": "/etc/gateway/jwt/public.pem", "REDIS_ADDRS": "sentinel-0.redis:26379,sentinel-1.redis:26379,sentinel-2.redis:26379",
		} {
			require.Equal(t, want, env[name], name)
		}
		text, err := json.Marshal(all)
		require.NoError(t, err)
		require.NotContains(t, string(text), `"data"`, "nothing but references")
	})
}

// TestRedisCertificates: the nodes and the test find the files where the variables say.
func TestRedisCertificates(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		all := run.render(t, "gateway/ci/tls-values.yaml", "")
		for _, o := range []object{of(t, all, "Deployment", 1)[0], of(t, all, "Pod", 1)[0]} {
			require.Equal(t, "true", o.env()["REDIS_TLS"])
			require.Equal(t, "redis.teloo.svc", o.env()["REDIS_TLS_SERVER_NAME"])
			for name, want := range map[string]string{
				"REDIS_CA_PATH": "redis-authority/ca.crt", "REDIS_CERT_PATH": "gateway-redis-tls/tls.crt", "REDIS_KEY_PATH": "gateway-redis-tls/tls.key",
			} {
				require.Equal(t, want, o.mounted(t, o.env()[name]), "%s: %s", o.kind(), name)
			}
		}
		// Keys of other names, beside other files; a URL in a Secret may be a rediss:// one.
		all = run.render(t, "gateway/ci/secrets-values.yaml", `redis: {caSecret: {name: pki, key: root.pem}, clientCertSecret: {name: pki, certKey: a.pem, keyKey: a.key}}`)
		d, test := of(t, all, "Deployment", 1)[0], of(t, all, "Pod", 1)[0]
		require.Equal(t, "tokens-public/public.pem", d.mounted(t, d.env()["JWT_PUBLIC_KEY_PATH"]))
		require.Equal(t, "smoke/jwt", test.mounted(t, "/etc/gateway/token/token"))
		for _, o := range []object{d, test} {
			require.Equal(t, "pki/root.pem", o.mounted(t, o.env()["REDIS_CA_PATH"]))
			require.Equal(t, "pki/a.key", o.mounted(t, o.env()["REDIS_KEY_PATH"]))
		}
		of(t, run.render(t, "", "redis: {existingSecret: {name: redis}, caSecret: {name: pki}}"), "Deployment", 1)
		plain := of(t, run.render(t, "", minimal), "Deployment", 1)[0]
		require.Nil(t, plain.at("spec", "template", "spec", "volumes"))
	})
}

// TestTheTestMayConnect: who may reach the nodes includes the pod of `helm test`.
func TestTheTestMayConnect(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		all := run.render(t, "gateway/ci/nginx-values.yaml", "test: {enabled: true}")
		labels, ok := of(t, all, "Pod", 1)[0].at("metadata", "labels").(map[string]any)
		require.True(t, ok)
		policy, err := json.Marshal(of(t, all, "NetworkPolicy", 1)[0].at("spec", "ingress"))
		require.NoError(t, err)
		want, err := json.Marshal(map[string]any{"podSelector": map[string]any{"matchLabels": map[string]any{
			"app.kubernetes.io/name": labels["app.kubernetes.io/name"], "app.kubernetes.io/instance": labels["app.kubernetes.io/instance"],
			"app.kubernetes.io/component": labels["app.kubernetes.io/component"],
		}}})
		require.NoError(t, err)
		require.Contains(t, string(policy), string(want))
	})
}

// wrong are values of every kind that cannot work; the message has to name the value.
var wrong = map[string]string{
	"replicaCount: 0":     "replicaCount",
	"replicaCount: three": "replicaCount",
	"redis: {url: 'redis://r', caSecret: {name: pki}}":                           "redis.caSecret.name",
	"redis: {url: 'redis://r', clientCertSecret: {name: pki}}":                   "redis.clientCertSecret.name",
	"redis: {url: 'redis://r', tlsServerName: r.example}":                        "redis.tlsServerName",
	"redis: {url: 'rediss://r', caSecret: {name: 'A B'}}":                        "redis/caSecret/name",
	"redis: {url: 'rediss://r', caSecret: {name: pki, key: a/b}}":                "redis/caSecret/key",
	"redis: {url: 'rediss://r', caSecret: pki}":                                  "redis/caSecret",
	"redis: {url: 'rediss://r', tlsServerName: 'https://r'}":                     "redis/tlsServerName",
	"redis: {url: 'rediss://r', clientCertSecret: {name: pki, key: tls.crt}}":    "redis/clientCertSecret",
	"redis: {url: 'rediss://r', clientCertSecret: {name: pki, keyKey: tls.crt}}": "redis.clientCertSecret.keyKey",
	"config: {REDIS_CA_PATH: /x}":                                                "config.REDIS_CA_PATH",
	"replicas: 3":                                                                "replicas",
	"image: {tag: 'a b'}":                                                        "image/tag",
	"image: {digest: 'sha256:12'}":                                               "image/digest",
	"image: {pullPolicy: Sometimes}":                                             "image/pullPolicy",
	"environment: prod":                                                          "environment",
	"logLevel: verbose":                                                          "logLevel",
	"redis: {url: 'http://redis'}":                                               "redis/url",
	"redis: {url: null}":                                                         "redis.url",
	"redis: {url: 'redis://a:b@redis'}":                                          "redis.url",
	"redis: {mode: master}":                                                      "redis/mode",
	"redis: {mode: cluster, url: ''}":                                            "redis.addrs",
	"redis: {mode: sentinel, url: '', addrs: ['a:6379']}":                        "redis.masterName",
	"redis: {addrs: ['redis']}":                                                  "redis/addrs/0",
	"redis: {db: -1}":                                                            "redis/db",
	"redis: {prefix: teloo}":                                                     "redis/prefix",
	"jwt: {algorithms: [none]}":                                                  "jwt/algorithms/0",
	"jwt: {algorithms: []}":                                                      "jwt/algorithms",
	"jwt: {algorithms: [RS256]}":                                                 "jwt.publicKey.secretName",
	"jwt: {jwksURL: 'ftp://x'}":                                                  "jwt/jwksURL",
	"secrets: {generate: false}":                                                 "secrets.generate",
	"corsOrigins: ['*']":                                                         "corsOrigins",
	"corsOrigins: ['https://a.example/path']":                                    "corsOrigins/0",
	"maxConnections: 2000000":                                                    "maxConnections",
	"config: {lower: x}":                                                         "lower",
	"config: {ADMIN_API_KEY: x}":                                                 "config.ADMIN_API_KEY",
	"config: {OTEL_EXPORTER_OTLP_HEADERS: 'key=x'}":                              "config.OTEL_EXPORTER_OTLP_HEADERS",
	"config: {REDIS_PREFIX: '{x}'}":                                              "config.REDIS_PREFIX",
	"redis: {url: 'rediss://redis:6380/0'}":                                      "networkPolicy.redisPorts",
	"redis: {mode: sentinel, url: '', addrs: ['a:26379'], masterName: m}":        "networkPolicy.redisPorts",
	"config: {PORT: 80}":                                                         "config.PORT",
	"drain: {windowSeconds: 40}":                                                 "drain.shutdownSeconds",
	"drain: {preStopSeconds: 0}":                                                 "drain/preStopSeconds",
	"drain: {windowSeconds: 20s}":                                                "drain/windowSeconds",
	"service: {port: 70000}":                                                     "service/port",
	"service: {type: ExternalName}":                                              "service/type",
	"service: {sessionAffinity: Cookie}":                                         "service/sessionAffinity",
	"metrics: {port: 8003}":                                                      "service.targetPort",
	"ingress: {enabled: true}":                                                   "ingress.hosts",
	"ingress: {controller: envoy}":                                               "ingress/controller",
	"ingress: {hosts: ['https://x']}":                                            "ingress/hosts/0",
	"ingress: {enabled: true, hosts: [a.example], cookieSameSite: None}":         "ingress.cookieSameSite",
	"httpRoute: {enabled: true}":                                                 "httpRoute.parentRefs",
	"autoscaling: {enabled: true, minReplicas: 9, maxReplicas: 3}":               "autoscaling.minReplicas",
	"autoscaling: {enabled: true, targetCPU: 0, connections: {target: 0}}":       "autoscaling.targetCPU",
	"podDisruptionBudget: {maxUnavailable: 0}":                                   "podDisruptionBudget/maxUnavailable",
	"networkPolicy: {redisPorts: []}":                                            "networkPolicy/redisPorts",
	"networkPolicy: {clientsFrom: [{pod: x}]}":                                   "networkPolicy/clientsFrom/0",
	"resources: {limits: {memory: lots, cpu: 1}}":                                "resources/limits/memory",
	"resources: {limits: {memory: null}}":                                        "resources/limits",
	"metrics: {serviceMonitor: {interval: often}}":                               "metrics/serviceMonitor/interval",
	"topologySpread: {whenUnsatisfiable: Never}":                                 "topologySpread/whenUnsatisfiable",
	"serviceAccount: {name: 'A B'}":                                              "serviceAccount/name",
}

func TestWrongValuesAreNamed(t *testing.T) {
	eachHelm(t, func(t *testing.T, run helm) {
		for values, name := range wrong {
			_, errs, err := run.run(t, values, "template", release, "gateway", "--set", "redis.url=redis://redis:6379", "--values", "-")
			if strings.HasPrefix(values, "redis:") {
				_, errs, err = run.run(t, values, "template", release, "gateway", "--values", "-")
			}
			require.Error(t, err, values)
			// Helm names a schema's place with slashes, or before 3.18 with dots.
			if !strings.Contains(errs, name) {
				require.Contains(t, errs, strings.ReplaceAll(name, "/", "."), values)
			}
		}
	})
}

// TestValuesAreExplained holds values.yaml to a comment above each line, and to the schema's knowledge of each value.
func TestValuesAreExplained(t *testing.T) {
	text, err := os.ReadFile("gateway/values.yaml")
	require.NoError(t, err)
	line := regexp.MustCompile(`^\s*[A-Za-z_]+:(\s.*)?$`)
	opener := regexp.MustCompile(`^\s*[A-Za-z_]+:$`)
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		if line.MatchString(l) && !opener.MatchString(l) {
			before := strings.TrimSpace(lines[i-1])
			explained := strings.HasPrefix(before, "#") || opener.MatchString(lines[i-1]) && strings.HasPrefix(strings.TrimSpace(lines[i-2]), "#")
			require.True(t, explained, "line %d: %s", i+1, l)
		}
	}
	var values map[string]any
	require.NoError(t, yaml.Unmarshal(text, &values))
	schemaText, err := os.ReadFile("gateway/values.schema.json")
	require.NoError(t, err)
	var schema map[string]any
	require.NoError(t, json.Unmarshal(schemaText, &schema))
	sameValues(t, "", values, schema)
}

func sameValues(t *testing.T, path string, values map[string]any, schema map[string]any) {
	t.Helper()
	properties, closed := schema["properties"].(map[string]any)
	if !closed {
		return
	}
	require.Equal(t, false, schema["additionalProperties"], "%s: misspelt values must be refused", path)
	for name, value := range values {
		require.Contains(t, properties, name, path)
		if inner, ok := value.(map[string]any); ok {
			sameValues(t, path+"/"+name, inner, properties[name].(map[string]any))
		}
	}
}

// TestMonitoringIsThatOfDeploy: a chart can only pack files below itself.
func TestMonitoringIsThatOfDeploy(t *testing.T) {
	for _, name := range []string{"alerts.yml", "dashboard.json"} {
		want, err := os.ReadFile("../deploy/monitoring/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		got, err := os.ReadFile("gateway/files/" + name)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "cp deploy/monitoring/%s charts/gateway/files/", name)
	}
	eachHelm(t, func(t *testing.T, run helm) {
		all := run.render(t, "gateway/ci/nginx-values.yaml", "")
		require.NotEmpty(t, of(t, all, "PrometheusRule", 1)[0].at("spec", "groups"))
		var dashboard map[string]any
		text := of(t, all, "ConfigMap", 1)[0].at("data", "gateway.json").(string)
		require.NoError(t, json.Unmarshal([]byte(text), &dashboard))
		require.NotEmpty(t, dashboard["panels"])
	})
}

func TestNotes(t *testing.T) {
	kubeconfig := apiServer(t, func() map[string]any { return nil })
	eachHelm(t, func(t *testing.T, run helm) {
		run.env = []string{"KUBECONFIG=" + kubeconfig} // Helm 3 asks for the version
		out, errs, err := run.run(t, minimal, "install", release, "gateway", "--namespace", namespace, "--values", "-", "--dry-run=client", "--disable-openapi-validation")
		require.NoError(t, err, errs)
		_, notes, found := strings.Cut(out, "NOTES:")
		require.True(t, found, out)
		for i, want := range []string{"kubectl -n teloo rollout status deployment/rt-gateway", "helm -n teloo test rt", "kubectl -n teloo port-forward deployment/rt-gateway"} {
			require.Contains(t, notes, strconv.Itoa(i+1)+". ")
			require.Contains(t, notes, want)
		}
	})
}
