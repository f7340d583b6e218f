{{/* The arguments and environment of an operator, in the Deployment and in the test. */}}
{{- define "leeward.arguments" -}}
- operator
- --listen=0.0.0.0:8080
- {{ printf "--admin-listen=%s" .Values.admin.listen | quote }}
- {{ printf "--log-level=%s" .Values.log.level | quote }}
- --log-format={{ .Values.log.format }}
- --lease-name={{ .Values.lease.name }}
- --lease-namespace={{ .Release.Namespace }}
- --lease-duration={{ .Values.lease.duration }}
{{- range .Values.watch.namespaces | uniq }}
- --watch-namespace={{ . }}
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
