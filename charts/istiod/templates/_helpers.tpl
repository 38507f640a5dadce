{{/* Names and blocks that several templates use. Blocks that both components have take a dict: root
     (the chart's context) and what `lateen.control` or `lateen.injector` says. */}}

{{/* The revision, and how the names of its objects end: not at all for the default one. */}}
{{- define "lateen.revision" -}}
{{ .Values.revision | default "default" }}
{{- end }}

{{- define "lateen.suffix" -}}
{{- if ne (include "lateen.revision" .) "default" }}-{{ .Values.revision }}{{ end -}}
{{- end }}

{{- define "lateen.control" -}}
{{ dict "app" "istiod" "component" "istiod" "istio" "pilot" "name" (printf "istiod%s" (include "lateen.suffix" .)) "revision" (include "lateen.revision" .) "values" .Values.pilot | toJson }}
{{- end }}

{{- define "lateen.injector" -}}
{{ dict "app" "sidecar-injector" "component" "istio-sidecar-injector" "istio" "sidecar-injector" "name" (printf "istio-sidecar-injector%s" (include "lateen.suffix" .)) "revision" (include "lateen.revision" .) "values" .Values.sidecarInjectorWebhook | toJson }}
{{- end }}

{{- define "lateen.selector" -}}
app: {{ .app }}
istio: {{ .istio }}
istio.io/rev: {{ .revision | quote }}
{{- end }}

{{- define "lateen.labels" -}}
{{ include "lateen.selector" . }}
app.kubernetes.io/name: {{ .component }}
app.kubernetes.io/part-of: lateen
{{- end }}

{{/* Takes root and values: a whole reference, or hub/name:tag. */}}
{{- define "lateen.image" -}}
{{- $global := .root.Values.global -}}
{{- if contains "/" .values.image -}}
{{ .values.image }}
{{- else -}}
{{ .values.hub | default $global.hub }}/{{ .values.image }}:{{ .values.tag | default $global.tag | toString }}
{{- end -}}
{{- end }}

{{- define "lateen.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lateen.labels" . | nindent 4 }}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Binds ClusterRole NAME-NAMESPACE and Role NAME to the component's ServiceAccount. */}}
{{- define "lateen.bindings" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}-{{ .root.Release.Namespace }}
  labels:
    {{- include "lateen.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name }}-{{ .root.Release.Namespace }}
subjects:
- kind: ServiceAccount
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lateen.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
{{- end }}

{{- define "lateen.disruptionBudget" -}}
{{- if .root.Values.global.defaultPodDisruptionBudget.enabled -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lateen.labels" . | nindent 4 }}
spec:
  minAvailable: 1
  selector:
    matchLabels:
      {{- include "lateen.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{/* Nothing but the ports that a component serves, the list .ports, is reachable. */}}
{{- define "lateen.networkPolicy" -}}
{{- if .root.Values.global.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lateen.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "lateen.selector" . | nindent 6 }}
  policyTypes:
  - Ingress
  - Egress
  ingress:
  - ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  egress:
  - {}
{{- end }}
{{- end }}

{{/* A Deployment; .container is the text of what the components have different in theirs. */}}
{{- define "lateen.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "lateen.labels" . | nindent 4 }}
spec:
  replicas: {{ .values.replicaCount }}
  selector:
    matchLabels:
      {{- include "lateen.selector" . | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 100%
      maxUnavailable: 25%
  template:
    metadata:
      labels:
        {{- include "lateen.labels" . | nindent 8 }}
        sidecar.istio.io/inject: "false"
        {{- range $key, $value := .values.podLabels }}
        {{ $key }}: {{ $value | toString | quote }}
        {{- end }}
      annotations:
        prometheus.io/port: "15014"
        prometheus.io/scrape: "true"
        {{- range $key, $value := .values.podAnnotations }}
        {{ $key }}: {{ $value | toString | quote }}
        {{- end }}
    spec:
      serviceAccountName: {{ .name }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 1337
        runAsGroup: 1337
        seccompProfile:
          type: RuntimeDefault
      {{- with .root.Values.global.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- range $key, $value := . }}
        {{ $key }}: {{ $value | toString | quote }}
        {{- end }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      affinity:
        {{- if .values.affinity }}
        {{- toYaml .values.affinity | nindent 8 }}
        {{- else }}
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - weight: 100
            podAffinityTerm:
              topologyKey: kubernetes.io/hostname
              labelSelector:
                matchLabels:
                  {{- include "lateen.selector" . | nindent 18 }}
        {{- end }}
      containers:
      - image: {{ include "lateen.image" . | quote }}
        {{- with .root.Values.global.imagePullPolicy }}
        imagePullPolicy: {{ . }}
        {{- end }}
        {{- .container | nindent 8 }}
        {{- range $key, $value := .values.env }}
        - name: {{ $key }}
          value: {{ $value | toString | quote }}
        {{- end }}
        {{- with .values.resources }}
        resources:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities:
            drop:
            - ALL
{{- end }}

{{/* Environment variables of both components; pod fields by the downward API. */}}
{{- define "lateen.podEnv" -}}
- name: REVISION
  value: {{ include "lateen.revision" . | quote }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      apiVersion: v1
      fieldPath: metadata.namespace
{{- end }}
