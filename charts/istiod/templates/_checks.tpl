{{/* Refuses values that would install something else than what they ask for. */}}
{{- define "lateen.checks" -}}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?)?$" (.Values.revision | default "" | toString)) }}
{{- fail (printf "revision %q: must be a DNS label of at most 40 lower-case letters, digits and dashes" (.Values.revision | default "" | toString)) }}
{{- end }}
{{- range .Values.revisionTags }}
{{- if or (not (regexMatch "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" (toString .))) (eq (toString .) (include "lateen.revision" $)) }}
{{- fail (printf "revisionTags %q: must be a DNS label of at most 40 lower-case letters, digits and dashes, and not the revision itself" (toString .)) }}
{{- end }}
{{- end }}
{{- if not (has .Values.global.proxy.autoInject (list "enabled" "disabled")) }}
{{- fail (printf "global.proxy.autoInject %q: allowed are enabled and disabled" .Values.global.proxy.autoInject) }}
{{- end }}
{{- $backend := .Values.global.proxy_init.backend }}
{{- if not (has $backend (list "auto" "iptables" "nftables")) }}
{{- fail (printf "global.proxy_init.backend %q: allowed are auto, iptables and nftables" $backend) }}
{{- end }}
{{- if and .Values.global.nativeNftables (eq $backend "iptables") }}
{{- fail "global.proxy_init.backend \"iptables\": contradicts global.nativeNftables, which is true" }}
{{- end }}
{{- if not (has .Values.sidecarInjectorWebhook.reinvocationPolicy (list "Never" "IfNeeded")) }}
{{- fail (printf "sidecarInjectorWebhook.reinvocationPolicy %q: allowed are Never and IfNeeded" .Values.sidecarInjectorWebhook.reinvocationPolicy) }}
{{- end }}
{{- end }}
