{{- define "worker.name" -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- end }}

{{- define "worker.selector" -}}
app.kubernetes.io/name: assistant-worker
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "worker.labels" -}}
{{ include "worker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "worker.assistants" -}}
{{- if .Values.assistants }}{{ include "worker.name" . }}-assistants{{ else }}{{ .Values.assistantsConfigMap }}{{ end -}}
{{- end }}
