{{/* The arguments and environment of an operator, in the Deployment and in the test. */}}
{{- define "leeward.arguments" -}}
{{- include "leeward.checkExtra" . -}}
- operator
- "--listen=[::]:8080"
- "--probe-listen=[::]:8082"
- {{ printf "--admin-listen=%s" .Values.admin.listen | quote }}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
- --log-format={{ .Values.log.format }}
- --lease-name={{ include "leeward.leaseName" . }}
- --lease-namespace={{ .Release.Namespace }}
- --lease-duration={{ .Values.lease.duration }}
- --shards={{ int (default 1 .Values.shards) }}
{{- range include "leeward.watched" . | fromYamlArray }}
- --watch-namespace={{ . }}
{{- end }}
{{- with .Values.otlp.endpoint }}
- {{ printf "--otlp-endpoint=%s" . | quote }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "leeward.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
# For `leeward log-level` in the pod.
- name: LEEWARD_ADMIN_LISTEN
  value: {{ .Values.admin.listen | quote }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What has a value of its own is more than an argument: rights, ports and other objects go with it. */}}
{{- define "leeward.checkExtra" -}}
{{- $values := dict "--shards" "shards" "--lease-name" "lease.name" "--lease-duration" "lease.duration"
  "--watch-namespace" "watch.namespaces" "--log-level" "log.level" "--log-format" "log.format"
  "--admin-listen" "admin.listen" "--otlp-endpoint" "otlp.endpoint" -}}
{{- range .Values.extraArgs -}}
{{- $argument := regexFind "^[^=]*" . -}}
{{- with get $values $argument -}}
{{- fail (printf "extraArgs has %s: set %s instead" $argument .) -}}
{{- end -}}
{{- if eq $argument "--no-lease" -}}
{{- fail "extraArgs has --no-lease, with which each replica acts, and an upgrade runs two: take it out" -}}
{{- else if has $argument (list "--listen" "--probe-listen" "--lease-namespace") -}}
{{- fail (printf "extraArgs has %s, which the chart sets by itself: take it out" $argument) -}}
{{- end -}}
{{- end -}}
{{- end -}}
