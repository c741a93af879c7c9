{{- define "spa-vl.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/part-of: spa-vl
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Metadata of an object: (list context name wave [component]) */}}
{{- define "spa-vl.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "spa-vl.labels" $root | nindent 2 }}
  {{- if gt (len .) 3 }}
  app.kubernetes.io/component: {{ index . 3 }}
  {{- end }}
annotations:
  argocd.argoproj.io/sync-wave: {{ index . 2 | quote }}
{{- end }}

{{- /* The same for an object of the whole cluster. */}}
{{- define "spa-vl.clusterMetadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
labels:
  {{- include "spa-vl.labels" $root | nindent 2 }}
annotations:
  argocd.argoproj.io/sync-wave: {{ index . 2 | quote }}
{{- end }}

{{- /* Labels of a pod that the chart makes: (list context component). A Profile's namespace injects
       Istio's sidecar, with which no job ends and which our policies know nothing of. */}}
{{- define "spa-vl.podLabels" -}}
{{- include "spa-vl.labels" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
sidecar.istio.io/inject: "false"
{{- end }}

{{- define "spa-vl.selector" -}}
app.kubernetes.io/part-of: spa-vl
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* An image by digest if there is one, else by tag; one of both has to be given. */}}
{{- define "spa-vl.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ required (printf "%s: give image.tag or image.digest" .repository) .tag }}
{{- end -}}
{{- end }}

{{- define "spa-vl.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "spa-vl.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "spa-vl.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* What every pod of the chart begins with: (list context accountName [token]) */}}
{{- define "spa-vl.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ index . 1 }}
automountServiceAccountToken: {{ gt (len .) 2 }}
enableServiceLinks: false
securityContext:
  {{- include "spa-vl.podSecurity" $root | nindent 2 }}
{{- include "spa-vl.pullSecrets" $root }}
{{- end }}

{{- /* A container that runs a script of files/ and ends: (list context name script arguments) */}}
{{- define "spa-vl.script" -}}
{{- $root := index . 0 -}}
- name: {{ index . 1 }}
  image: {{ include "spa-vl.image" $root.Values.image }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [python3, -c]
  args:
    - |
      {{- $root.Files.Get (index . 2) | nindent 6 }}
    {{- toYaml (index . 3) | nindent 4 }}
  # A script's last line is the fault; `kubectl describe` and events show it.
  terminationMessagePolicy: FallbackToLogsOnError
  resources:
    requests: {cpu: 50m, memory: 128Mi}
    limits: {cpu: 500m, memory: 512Mi}
  securityContext:
    {{- include "spa-vl.containerSecurity" $root | nindent 4 }}
{{- end }}

{{- /* Scratch space of a pod whose root is read-only. */}}
{{- define "spa-vl.scratch" -}}
- name: scratch
  emptyDir: {sizeLimit: {{ . }}}
{{- end }}

{{- define "spa-vl.s3Environment" -}}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: spa-vl-s3, key: AWS_ACCESS_KEY_ID}}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: spa-vl-s3, key: AWS_SECRET_ACCESS_KEY}}
- name: AWS_DEFAULT_REGION
  value: {{ .Values.s3.region | quote }}
- name: AWS_ENDPOINT_URL
  value: {{ .Values.s3.endpoint | quote }}
{{- end }}

{{- define "spa-vl.s3Prefix" -}}
{{ .Values.s3.prefix | default (printf "private/%s/spa-vl" .Release.Namespace) }}
{{- end }}

{{- /* "yes" if the S3 is KFP's own, by its Service's name; else empty. */}}
{{- define "spa-vl.s3IsKFPs" -}}
{{- $host := (urlParse .Values.s3.endpoint).hostname -}}
{{- if regexMatch (printf "^seaweedfs(\\.%s(\\.svc.*)?)?$" .Values.kfp.namespace) $host }}yes{{ end -}}
{{- end }}

{{- define "spa-vl.mlflowHosts" -}}
{{- $name := "spa-vl-mlflow" -}}
{{- $space := .Release.Namespace -}}
{{- $hosts := list -}}
{{- range list $name (printf "%s.%s" $name $space) (printf "%s.%s.svc" $name $space) (printf "%s.%s.svc.cluster.local" $name $space) -}}
{{- $hosts = concat $hosts (list . (printf "%s:%v" . $.Values.mlflow.port)) -}}
{{- end -}}
{{- $monitor := .Values.monitoring.serviceMonitor -}}
{{- $scrapes := ternary $monitor.hosts list $monitor.enabled -}}
{{- join "," (concat $hosts (list "localhost:*") .Values.mlflow.allowedHosts $scrapes) -}}
{{- end }}

{{- define "spa-vl.mlflowURL" -}}
http://spa-vl-mlflow.{{ .Release.Namespace }}.svc:{{ .Values.mlflow.port }}
{{- end }}
