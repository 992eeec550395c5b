{{- define "hawser.labels" -}}
app.kubernetes.io/name: hawser
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: hawser
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "hawser.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- /* What every process is told of where it runs. */ -}}
{{- define "hawser.environment" -}}
- name: HAWSER_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: NODE_NAME
  valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- end -}}

{{- /* A virtual node has no kernel of its own: Hawser never runs on one. */ -}}
{{- define "hawser.affinity" -}}
nodeAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    nodeSelectorTerms:
      - matchExpressions:
          - { key: hawser.dev/virtual-node, operator: DoesNotExist }
  {{- /* Where there is another node: who moves a lost gateway node's tunnel endpoint should not be lost with it. */}}
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      preference:
        matchExpressions:
          - { key: hawser.dev/gateway, operator: DoesNotExist }
{{- end -}}

{{- define "hawser.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "hawser.probes" -}}
{{- /* A process that a crowded node starves is not one that hangs: ending it makes it begin and read everything anew. */}}
startupProbe:
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 180
livenessProbe:
  httpGet: { path: /livez, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
{{- /* One that is not ready is asked more often by the kubelet itself; being asked is most of what an idle process does. */}}
readinessProbe:
  httpGet: { path: /readyz, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
{{- end -}}
