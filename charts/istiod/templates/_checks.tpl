{{/* Refuses values that would install something else than what they ask for. */}}
{{- define "lateen.checks" -}}
{{- if not (has .Values.revision (list "" "default")) }}
{{- fail (printf "revision %q: only the default revision can be installed so far; leave `revision` empty" .Values.revision) }}
{{- end }}
{{- if .Values.pilot.cni.enabled }}
{{- fail "pilot.cni.enabled: redirection by a CNI plugin is not provided yet; set it to false" }}
{{- end }}
{{- if not (has .Values.global.proxy.autoInject (list "enabled" "disabled")) }}
{{- fail (printf "global.proxy.autoInject %q: allowed are enabled and disabled" .Values.global.proxy.autoInject) }}
{{- end }}
{{- if not (has .Values.sidecarInjectorWebhook.reinvocationPolicy (list "Never" "IfNeeded")) }}
{{- fail (printf "sidecarInjectorWebhook.reinvocationPolicy %q: allowed are Never and IfNeeded" .Values.sidecarInjectorWebhook.reinvocationPolicy) }}
{{- end }}
{{- end }}
