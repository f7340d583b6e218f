{{/* What is read and written in a namespace that is watched. A Secret is read by name; it is never listed. */}}
{{- define "leeward.rules" -}}
- apiGroups: [leeward.dev]
  resources: [natssystems, placementpolicies]
  verbs: [get, list, watch]
- apiGroups: [leeward.dev]
  resources: [natssystems/status, placementpolicies/status]
  verbs: [patch]
# Plans of policies that propose. What people decide about them is not Leeward's to write.
- apiGroups: [leeward.dev]
  resources: [placementplans]
  verbs: [list, watch, create, delete]
- apiGroups: [leeward.dev]
  resources: [placementplans/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  {{- with .Values.rbac.secretNames }}
  resourceNames: {{- toYaml . | nindent 4 }}
  {{- end }}
  verbs: [get]
# The labels of a policy's namespace, where a system chooses by allowedNamespaces.selector.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Whose the configurations of streams are.
- apiGroups: [jetstream.nats.io]
  resources: [streams, keyvalues, objectstores]
  verbs: [list]
{{- if .Values.rbac.patchOwners }}
# For policies with onManagedStream: PatchOwner.
- apiGroups: [jetstream.nats.io]
  resources: [streams, keyvalues, objectstores]
  verbs: [get, patch]
{{- end }}
{{- end -}}

{{/* What approving, rejecting and cancelling plans needs, and to see what they are about; to write nothing else. */}}
{{- define "leeward.approverRules" -}}
- apiGroups: [leeward.dev]
  resources: [placementpolicies]
  verbs: [get, list, watch]
- apiGroups: [leeward.dev]
  resources: [placementplans]
  verbs: [get, list, watch, patch]
{{- end -}}
