{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for the longest suffix. */}}
{{- define "gateway.fullname" -}}
{{- $name := include "gateway.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the nodes' pods; it may not change in an upgrade. */}}
{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}

{{- define "gateway.labels" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "gateway.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* "yes" if tokens may be signed with a shared secret. */}}
{{- define "gateway.hs" -}}
{{- range .Values.jwt.algorithms -}}{{- if hasPrefix "HS" . -}}yes{{- break -}}{{- end -}}{{- end -}}
{{- end -}}

{{/* The keys that the chart's own Secret has to hold, as JSON. */}}
{{- define "gateway.generated" -}}
{{- $keys := list -}}
{{- if and (include "gateway.hs" .) (not .Values.jwt.existingSecret.name) -}}{{- $keys = append $keys "jwt-secret-key" -}}{{- end -}}
{{- if not .Values.cluster.existingSecret.name -}}{{- $keys = append $keys "cluster-secret" -}}{{- end -}}
{{- if and .Values.admin.enabled (not .Values.admin.existingSecret.name) -}}{{- $keys = append $keys "admin-api-key" -}}{{- end -}}
{{- $keys | toJson -}}
{{- end -}}

{{/* An environment variable from a Secret: dict name, ref (name, key), own (the chart's Secret, and its key). */}}
{{- define "gateway.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ default .own .ref.name }}
      key: {{ ternary .ref.key .ownKey (ne .ref.name "") }}
{{- end -}}

{{/* How Redis is reached and tokens are signed: of the nodes and of the test. */}}
{{- define "gateway.commonEnv" -}}
{{- $own := include "gateway.fullname" . -}}
- name: REDIS_MODE
  value: {{ .Values.redis.mode | quote }}
{{- if .Values.redis.existingSecret.name }}
{{ include "gateway.secretEnv" (dict "name" "REDIS_URL" "ref" .Values.redis.existingSecret "own" "" "ownKey" "") }}
{{- else if .Values.redis.url }}
- name: REDIS_URL
  value: {{ .Values.redis.url | quote }}
{{- end }}
{{- with .Values.redis.addrs }}
- name: REDIS_ADDRS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.redis.masterName }}
- name: REDIS_MASTER_NAME
  value: {{ . | quote }}
{{- end }}
{{- with .Values.redis.username }}
- name: REDIS_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if .Values.redis.passwordSecret.name }}
{{ include "gateway.secretEnv" (dict "name" "REDIS_PASSWORD" "ref" .Values.redis.passwordSecret "own" "" "ownKey" "") }}
{{- end }}
{{- with .Values.redis.sentinel.username }}
- name: REDIS_SENTINEL_USERNAME
  value: {{ . | quote }}
{{- end }}
{{- if .Values.redis.sentinel.passwordSecret.name }}
{{ include "gateway.secretEnv" (dict "name" "REDIS_SENTINEL_PASSWORD" "ref" .Values.redis.sentinel.passwordSecret "own" "" "ownKey" "") }}
{{- end }}
{{- if .Values.redis.tls }}
- name: REDIS_TLS
  value: "true"
{{- end }}
{{- with .Values.redis.tlsServerName }}
- name: REDIS_TLS_SERVER_NAME
  value: {{ . | quote }}
{{- end }}
{{- if .Values.redis.caSecret.name }}
- name: REDIS_CA_PATH
  value: /etc/gateway/redis-ca/ca.crt
{{- end }}
{{- if .Values.redis.clientCertSecret.name }}
- name: REDIS_CERT_PATH
  value: /etc/gateway/redis-cert/tls.crt
- name: REDIS_KEY_PATH
  value: /etc/gateway/redis-cert/tls.key
{{- end }}
{{- if .Values.redis.db }}
- name: REDIS_DB
  value: {{ .Values.redis.db | quote }}
{{- end }}
- name: REDIS_PREFIX
  value: {{ .Values.redis.prefix | quote }}
- name: JWT_ALGORITHM
  value: {{ join "," .Values.jwt.algorithms | quote }}
{{- if include "gateway.hs" . }}
{{ include "gateway.secretEnv" (dict "name" "JWT_SECRET_KEY" "ref" .Values.jwt.existingSecret "own" $own "ownKey" "jwt-secret-key") }}
{{- end }}
{{- with .Values.jwt.issuer }}
- name: JWT_ISSUER
  value: {{ . | quote }}
{{- end }}
{{- with .Values.jwt.audience }}
- name: JWT_AUDIENCE
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Where commonEnv's files are, as a list; empty without any. Whole directories, so that a renewed Secret arrives. */}}
{{- define "gateway.commonMounts" -}}
{{- if .Values.redis.caSecret.name }}
- {name: redis-ca, mountPath: /etc/gateway/redis-ca, readOnly: true}
{{- end }}
{{- if .Values.redis.clientCertSecret.name }}
- {name: redis-cert, mountPath: /etc/gateway/redis-cert, readOnly: true}
{{- end }}
{{- end -}}

{{/* The volumes of commonMounts. Readable by the pod's group, which is the program's, and nobody else. */}}
{{- define "gateway.commonVolumes" -}}
{{- with .Values.redis.caSecret }}
{{- if .name }}
- name: redis-ca
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .key }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- with .Values.redis.clientCertSecret }}
{{- if .name }}
- name: redis-cert
  secret:
    secretName: {{ .name }}
    defaultMode: 0440
    items: [{key: {{ .certKey }}, path: tls.crt}, {key: {{ .keyKey }}, path: tls.key}]
{{- end }}
{{- end }}
{{- end -}}

{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "gateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* What the schema cannot say. Every message begins with the value's name. */}}
{{- define "gateway.check" -}}
{{- $r := .Values.redis -}}
{{- if eq $r.mode "single" -}}
  {{- if not (or $r.url $r.existingSecret.name) -}}{{- fail "redis.url: is required: redis://host:6379/0, or name a Secret that holds it in redis.existingSecret.name" -}}{{- end -}}
  {{- if $r.addrs -}}{{- fail "redis.addrs: is for the modes sentinel and cluster; set redis.mode, or redis.url instead" -}}{{- end -}}
{{- else -}}
  {{- if not $r.addrs -}}{{- fail (printf "redis.addrs: is required in mode %s: [host:port, …]" $r.mode) -}}{{- end -}}
  {{- if or $r.url $r.existingSecret.name -}}{{- fail (printf "redis.url: is for mode single, not %s; set redis.addrs" $r.mode) -}}{{- end -}}
{{- end -}}
{{- if .Values.networkPolicy.enabled -}}
  {{- $places := dict -}}
  {{- range $i, $addr := $r.addrs -}}{{- $_ := set $places (printf "redis.addrs/%d" $i) (regexFind "[0-9]+$" $addr) -}}{{- end -}}
  {{- if $r.url -}}{{- $_ := set $places "redis.url" (default "6379" (regexReplaceAll "^rediss?://[^/?]*?:([0-9]+)([/?].*)?$|^.*$" $r.url "$1")) -}}{{- end -}}
  {{- $open := list -}}
  {{- range .Values.networkPolicy.redisPorts -}}{{- $open = append $open (printf "%d" (int .)) -}}{{- end -}}
  {{- range $place, $port := $places -}}
    {{- if not (has $port $open) -}}{{- fail (printf "networkPolicy.redisPorts: lacks %s, the port in %s, so no node would reach Redis" $port $place) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- if and (eq $r.mode "sentinel") (not $r.masterName) -}}{{- fail "redis.masterName: is required in mode sentinel" -}}{{- end -}}
{{- if not (or $r.tls (hasPrefix "rediss://" $r.url) $r.existingSecret.name) -}}
  {{- range $name, $set := dict "redis.caSecret.name" $r.caSecret.name "redis.clientCertSecret.name" $r.clientCertSecret.name "redis.tlsServerName" $r.tlsServerName -}}
    {{- if $set -}}{{- fail (printf "%s: is set, but TLS is not asked for; set redis.tls, or a rediss:// URL" $name) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- if eq $r.clientCertSecret.certKey $r.clientCertSecret.keyKey -}}{{- fail (printf "redis.clientCertSecret.keyKey: %s is also redis.clientCertSecret.certKey" $r.clientCertSecret.keyKey) -}}{{- end -}}
{{- if and (eq $r.mode "cluster") $r.db -}}{{- fail "redis.db: is 0 on a cluster" -}}{{- end -}}
{{- if regexMatch "^rediss?://[^/@]*:[^/@]+@" $r.url -}}{{- fail "redis.url: holds a password, which everybody who may read the Deployment would see; put it into a Secret: redis.existingSecret or redis.passwordSecret" -}}{{- end -}}
{{- if le (int .Values.drain.shutdownSeconds) (int .Values.drain.windowSeconds) -}}{{- fail (printf "drain.shutdownSeconds: %d is not more than drain.windowSeconds, %d" (int .Values.drain.shutdownSeconds) (int .Values.drain.windowSeconds)) -}}{{- end -}}
{{- $asymmetric := false -}}
{{- range .Values.jwt.algorithms -}}{{- if not (hasPrefix "HS" .) -}}{{- $asymmetric = true -}}{{- end -}}{{- end -}}
{{- if and $asymmetric (not .Values.jwt.publicKey.secretName) (not .Values.jwt.jwksURL) -}}{{- fail "jwt.publicKey.secretName: is required for algorithms other than HS, or jwt.jwksURL" -}}{{- end -}}
{{- if and .Values.jwt.publicKey.secretName .Values.jwt.jwksURL -}}{{- fail "jwt.jwksURL: is instead of jwt.publicKey.secretName, not beside it" -}}{{- end -}}
{{- if and (eq .Values.environment "production") (has "*" .Values.corsOrigins) -}}{{- fail "corsOrigins: production refuses *; name the origins" -}}{{- end -}}
{{- $keys := include "gateway.generated" . | fromJsonArray -}}
{{- if and $keys (not .Values.secrets.generate) -}}{{- fail (printf "secrets.generate: is false, but no Secret is named for %s; set jwt.existingSecret.name, cluster.existingSecret.name and admin.existingSecret.name" (join ", " $keys)) -}}{{- end -}}
{{- if .Values.autoscaling.enabled -}}
  {{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas, %d" (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}{{- end -}}
  {{- if not (or .Values.autoscaling.targetCPU .Values.autoscaling.connections.target) -}}{{- fail "autoscaling.targetCPU: is 0 like autoscaling.connections.target: nothing to scale by" -}}{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}{{- fail "ingress.hosts: is empty; name the hosts that clients connect to" -}}{{- end -}}
{{- if and .Values.ingress.enabled (eq .Values.ingress.cookieSameSite "None") (not .Values.ingress.tls) -}}{{- fail "ingress.cookieSameSite: None needs TLS; set ingress.tls" -}}{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}{{- fail "httpRoute.parentRefs: is empty; name the Gateway" -}}{{- end -}}
{{- $ports := dict -}}
{{- range $name, $port := dict "service.targetPort" .Values.service.targetPort "metrics.port" .Values.metrics.port "cluster.port" .Values.cluster.port -}}
  {{- $key := printf "%d" (int $port) -}}
  {{- if hasKey $ports $key -}}{{- fail (printf "%s: %s is also %s" $name $key (get $ports $key)) -}}{{- end -}}
  {{- $_ := set $ports $key $name -}}
{{- end -}}
{{- range $name := keys .Values.config | sortAlpha -}}
  {{- if has $name (list "JWT_SECRET_KEY" "CLUSTER_SECRET" "ADMIN_API_KEY" "REDIS_PASSWORD" "REDIS_SENTINEL_PASSWORD" "REDIS_URL" "OTEL_EXPORTER_OTLP_HEADERS") -}}{{- fail (printf "config.%s: is a secret, and config is not; name a Secret that holds it, in extraEnv if no value is for it" $name) -}}{{- end -}}
  {{- if has $name (list "PORT" "METRICS_PORT" "DRAIN_WINDOW" "SHUTDOWN_TIMEOUT" "NODE_NAME" "CLUSTER_SEEDS" "CLUSTER_BIND" "CLUSTER_ADVERTISE" "ENVIRONMENT" "LOG_LEVEL" "CORS_ORIGINS" "TRUSTED_PROXIES" "WS_MAX_CONNECTIONS" "REDIS_MODE" "REDIS_ADDRS" "REDIS_MASTER_NAME" "REDIS_USERNAME" "REDIS_SENTINEL_USERNAME" "REDIS_TLS" "REDIS_TLS_SERVER_NAME" "REDIS_CA_PATH" "REDIS_CERT_PATH" "REDIS_KEY_PATH" "REDIS_DB" "REDIS_PREFIX" "JWT_ALGORITHM" "JWT_ISSUER" "JWT_AUDIENCE" "JWT_PUBLIC_KEY_PATH" "JWT_JWKS_URL") -}}{{- fail (printf "config.%s: the chart sets it by a value of its own; see values.yaml" $name) -}}{{- end -}}
{{- end -}}
{{- end -}}
