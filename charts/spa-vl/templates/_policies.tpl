{{- /* Rules that several NetworkPolicies share, each one entry of `egress`. Ports are those of pods:
       a policy sees a connection after its Service's address was replaced by a pod's. */}}

{{- define "spa-vl.toKFP" -}}
{{- $root := index . 0 -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ $root.Values.kfp.namespace }}}
      podSelector:
        matchLabels: {{ index . 1 | toJson }}
  ports:
    {{- range index . 2 }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "spa-vl.toCidrs" -}}
- to:
    {{- range index . 0 }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    {{- range index . 1 }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "spa-vl.toOurs" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "spa-vl.selector" (index . 0) | nindent 10 }}
  ports:
    - {protocol: TCP, port: {{ index . 1 }}}
{{- end }}

{{- define "spa-vl.toMLflow" -}}
{{- if .Values.mlflow.enabled }}
{{- include "spa-vl.toOurs" (list "mlflow" .Values.mlflow.port) }}
{{- end }}
{{- end }}

{{- /* KFP's S3 by its pods (8333; 9000 where a Service keeps its port), another by its addresses. */}}
{{- define "spa-vl.toS3" -}}
{{- if include "spa-vl.s3IsKFPs" . }}
{{- include "spa-vl.toKFP" (list . (dict "app" "seaweedfs") (list 8333 9000)) }}
{{- else }}
{{- if not .Values.s3.cidrs }}
{{- fail "s3.cidrs: give the address ranges of this S3 (of its pods, if it runs in the cluster), or set networkPolicies.enabled to false" }}
{{- end }}
{{- $url := urlParse .Values.s3.endpoint }}
{{- $own := last (splitList ":" $url.host) | atoi | default (ternary 443 80 (eq $url.scheme "https")) }}
{{- include "spa-vl.toCidrs" (list .Values.s3.cidrs (.Values.s3.ports | default (list $own))) }}
{{- end }}
{{- end }}

{{- define "spa-vl.toDNS" -}}
{{- $dns := .Values.networkPolicies.dns -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: {{ $dns.namespace }}}
      podSelector:
        matchLabels: {{ regexReplaceAll "^(.+)=(.+)$" $dns.pods "{\"${1}\": \"${2}\"}" }}
    {{- range $dns.cidrs }}
    - ipBlock: {cidr: {{ . }}}
    {{- end }}
  ports:
    {{- range $port := $dns.ports }}
    {{- range list "UDP" "TCP" }}
    - {protocol: {{ . }}, port: {{ $port }}}
    {{- end }}
    {{- end }}
{{- end }}

{{- /* The Kubernetes API: where its Service leads, and the Service itself for what looks before. */}}
{{- define "spa-vl.toKubernetes" -}}
{{- $given := .Values.networkPolicies.kubernetesAPI -}}
{{- if $given.cidrs }}
{{- include "spa-vl.toCidrs" (list $given.cidrs $given.ports) }}
{{- else }}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" }}
{{- $service := lookup "v1" "Service" "default" "kubernetes" }}
{{- if not (and $slice $service) }}
{{- fail "networkPolicies.kubernetesAPI.cidrs: no cluster was asked (helm template, Argo CD), so give the addresses that `kubectl get endpointslices kubernetes` shows, e.g. [192.0.2.1/32]; or set networkPolicies.enabled to false" }}
{{- else }}
{{- $addresses := list }}
{{- range $slice.endpoints }}
{{- $addresses = concat $addresses .addresses }}
{{- end }}
{{- $ports := list }}
{{- range $slice.ports }}
{{- $ports = append $ports (int .port) }}
{{- end }}
{{- include "spa-vl.toCidrs" (list (include "spa-vl.hosts" $addresses | fromJsonArray) $ports) }}
{{ include "spa-vl.toCidrs" (list (include "spa-vl.hosts" (list $service.spec.clusterIP) | fromJsonArray) (list 443)) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Addresses as ranges of one address each, in JSON. */}}
{{- define "spa-vl.hosts" -}}
{{- $ranges := list -}}
{{- range . -}}
{{- $ranges = append $ranges (printf "%s/%s" . (ternary "128" "32" (contains ":" .))) -}}
{{- end -}}
{{ toJson $ranges }}
{{- end }}

{{- define "spa-vl.toOutside" -}}
{{- with .Values.networkPolicies.outside }}
{{- include "spa-vl.toCidrs" (list . (list 443)) }}
{{- end }}
{{- end }}
