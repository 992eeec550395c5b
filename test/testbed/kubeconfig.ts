/** Kubeconfig files, as read by every client of Kubernetes. */
import type { Certificate } from './certificate.ts';

export interface KubeconfigRequest {
  clusterName: string;
  /** Such as `https://198.18.7.10:6443`. */
  url: string;
  /** The cluster's CA, PEM. */
  authority: string;
  /** The user's credentials: a client certificate or a bearer token. */
  user: { name: string; certificate?: Certificate; token?: string };
}

/** A kubeconfig with one context and inline data, as JSON, which is valid YAML. */
export function kubeconfig(request: KubeconfigRequest): string {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const { name, certificate, token } = request.user;
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': request.clusterName,
      clusters: [
        {
          name: request.clusterName,
          cluster: { server: request.url, 'certificate-authority-data': base64(request.authority) },
        },
      ],
      contexts: [
        {
          name: request.clusterName,
          context: { cluster: request.clusterName, user: name, namespace: 'default' },
        },
      ],
      users: [
        {
          name,
          user: {
            ...(token !== undefined && { token }),
            ...(certificate && {
              'client-certificate-data': base64(certificate.certificate),
              'client-key-data': base64(certificate.key),
            }),
          },
        },
      ],
    },
    null,
    2,
  )}\n`;
}
