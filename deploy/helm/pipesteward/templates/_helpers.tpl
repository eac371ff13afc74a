{{- define "pipesteward.name" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) }}
{{- $name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "pipesteward.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pipesteward.labels" -}}
{{ include "pipesteward.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pipesteward.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "pipesteward.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "pipesteward.name" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- /* The keys of the Secret that are mounted: those of the values, and the URL of Redis. */ -}}
{{- define "pipesteward.secretKeys" -}}
{{- $keys := .Values.secrets.keys }}
{{- if eq .Values.store.kind "redis" }}{{ $keys = append $keys "store" }}{{ end }}
{{- $keys | uniq | sortAlpha | toJson }}
{{- end }}

{{- /* Where the container has the rules: of a Git repository, below the link that git-sync moves
       to each new commit. */ -}}
{{- define "pipesteward.rulesMount" -}}
{{ empty .Values.rules.git.repository | ternary "/etc/pipesteward/rules" "/git" }}
{{- end }}

{{- define "pipesteward.rulesPath" -}}
{{ with .Values.rules.git }}{{ if .repository }}{{ clean (printf "/git/current/%s" .directory) }}{{ else }}/etc/pipesteward/rules{{ end }}{{ end }}
{{- end }}

{{- /* Combinations of values that can't work, with what to change. */ -}}
{{- define "pipesteward.check" -}}
{{- if and (eq .Values.store.kind "bolt") (gt (int .Values.replicas) 1) }}
{{- fail (printf "replicas is %d, but one process only can open the file of store.kind bolt: set replicas to 1, or store.kind to redis" (int .Values.replicas)) }}
{{- end }}
{{- if and (eq .Values.store.kind "bolt") (has "store" .Values.secrets.keys) }}
{{- fail "secrets.keys has store, the URL of a Redis, but store.kind is bolt: set store.kind to redis, or remove the key" }}
{{- end }}
{{- if not .Values.secrets.existingSecret }}
{{- fail "secrets.existingSecret is empty: create a Secret (kubectl create secret generic pipesteward --from-file=gitlab-token --from-file=webhook-token), and give its name" }}
{{- end }}
{{- $rules := list }}
{{- if .Values.rules.files }}{{ $rules = append $rules "rules.files" }}{{ end }}
{{- if .Values.rules.existingConfigMap }}{{ $rules = append $rules "rules.existingConfigMap" }}{{ end }}
{{- if .Values.rules.git.repository }}{{ $rules = append $rules "rules.git.repository" }}{{ end }}
{{- if not $rules }}
{{- fail "there are no rules: set rules.files (helm install --set-file 'rules.files.rules\\.yaml=rules.yaml'), rules.existingConfigMap or rules.git.repository" }}
{{- end }}
{{- if gt (len $rules) 1 }}
{{- fail (printf "%s are set: choose one" (join " and " $rules)) }}
{{- end }}
{{- $auth := index .Values.settings "admin-auth" | default "local" }}
{{- if and (eq $auth "local") (ne (toString (index .Values.settings "insecure-admin-without-auth")) "true") }}
{{- fail "nothing says who may use the admin address, which probes reach from outside the pod: set settings.admin-auth to oidc, web-config or proxy-header, or settings.insecure-admin-without-auth to true if networkPolicy.adminFrom names those who may" }}
{{- end }}
{{- range .Values.extraEnv }}
{{- if hasPrefix "PIPESTEWARD_" .name }}
{{- fail (printf "extraEnv has %s: set it in settings, and a secret by secrets.keys" .name) }}
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.enabled is true, but ingress.host is empty: set it to the name that GitLab calls" }}
{{- end }}
{{- end }}
