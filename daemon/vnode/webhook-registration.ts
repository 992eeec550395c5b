/** The MutatingWebhookConfiguration of the webhooks that the controller serves. Pure. */
import { group, version } from '../../shared/api/meta.ts';
import { labels } from '../../shared/names.ts';

/** Service in front of the controller: port 443 → `ports.webhook`. */
export const webhookService = 'hawser-webhook';
/** The MutatingWebhookConfiguration. */
export const webhookConfiguration = 'hawser-pods';

export type RemotePlacement = 'Remote' | 'LocalAndRemote';

/** Paths by placement: the label that selected the webhook may be newer than the controller's caches. */
export const podPaths = {
  '/pods/remote': 'Remote',
  '/pods/local-and-remote': 'LocalAndRemote',
} as const satisfies Record<string, RemotePlacement>;
export const offloadingsPath = '/offloadings';

/** One webhook per placement, since their failure policies differ, and one for NamespaceOffloadings. */
export function registration(
  namespace: string,
  certificate: string,
  url?: string,
): {
  apiVersion: string;
  kind: string;
  metadata: { name: string; labels: Record<string, string> };
  webhooks: object[];
} {
  const common = (path: string) => ({
    admissionReviewVersions: ['v1'],
    matchPolicy: 'Equivalent',
    reinvocationPolicy: 'Never',
    timeoutSeconds: 5,
    clientConfig: {
      caBundle: Buffer.from(certificate).toString('base64'),
      ...(url === undefined
        ? { service: { name: webhookService, namespace, path, port: 443 } }
        : { url: `${url}${path}` }),
    },
  });
  const ofPods = (path: keyof typeof podPaths, failurePolicy: 'Ignore' | 'Fail') => ({
    ...common(path),
    name: `${path.slice('/pods/'.length)}.pods.hawser.dev`,
    sideEffects: 'None',
    failurePolicy,
    namespaceSelector: {
      matchExpressions: [{ key: labels.offloading, operator: 'In', values: [podPaths[path]] }],
    },
    rules: [
      {
        apiGroups: [''],
        apiVersions: ['v1'],
        operations: ['CREATE'],
        resources: ['pods'],
        scope: 'Namespaced',
      },
    ],
  });
  const ofOffloadings = {
    ...common(offloadingsPath),
    name: 'offloadings.hawser.dev',
    sideEffects: 'NoneOnDryRun',
    // The controller labels the namespace a moment later anyway.
    failurePolicy: 'Ignore',
    rules: [
      {
        apiGroups: [group],
        apiVersions: [version],
        operations: ['CREATE', 'UPDATE'],
        resources: ['namespaceoffloadings'],
        scope: 'Namespaced',
      },
    ],
  };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: webhookConfiguration, labels: { [labels.managedBy]: 'hawser' } },
    webhooks: [ofPods('/pods/local-and-remote', 'Ignore'), ofPods('/pods/remote', 'Fail'), ofOffloadings],
  };
}
