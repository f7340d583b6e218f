{{- define "leeward.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left in a label for what is put behind it. */}}
{{- define "leeward.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "leeward.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "leeward.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Objects of the whole cluster: two releases of one name in two namespaces must not meet. */}}
{{- define "leeward.clusterName" -}}
{{- printf "%s-%s" (include "leeward.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "leeward.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "leeward.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "leeward.leaseName" -}}
{{- default (include "leeward.fullname" .) .Values.lease.name -}}
{{- end -}}

{{/* The namespaces that are watched, each once; none means all. */}}
{{- define "leeward.watched" -}}
{{- default list .Values.watch.namespaces | uniq | toYaml -}}
{{- end -}}

{{- define "leeward.selectorLabels" -}}
app.kubernetes.io/name: {{ include "leeward.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The pods of the operator, and no pod of a test. */}}
{{- define "leeward.podSelector" -}}
{{ include "leeward.selectorLabels" . }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "leeward.labels" -}}
{{ include "leeward.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (replace "+" "_" .Chart.Version) }}
{{- end -}}

{{- define "leeward.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "leeward.podSecurity" -}}
# The image's own user is a number, so that this is checked; a platform that gives numbers to users may give another.
runAsNonRoot: true
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "leeward.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
