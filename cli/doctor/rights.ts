/** Permissions that Hawser's service accounts need; a test compares them with the chart's roles. */

export interface Right {
  account: 'hawser-controller' | 'hawser-gateway' | 'hawser-node';
  verb: string;
  group: string;
  resource: string;
  subresource?: string;
  /** Only in Hawser's namespace; otherwise cluster-wide. */
  own?: true;
  name?: string;
}

const hawser = 'hawser.dev';

/** One permission of each rule without which a function fails. */
export const essentialRights: readonly Right[] = [
  { account: 'hawser-controller', verb: 'watch', group: hawser, resource: 'outgoingpeerings' },
  {
    account: 'hawser-controller',
    verb: 'patch',
    group: hawser,
    resource: 'outgoingpeerings',
    subresource: 'status',
  },
  { account: 'hawser-controller', verb: 'patch', group: hawser, resource: 'tunnels' },
  { account: 'hawser-controller', verb: 'create', group: '', resource: 'namespaces' },
  { account: 'hawser-controller', verb: 'create', group: '', resource: 'pods' },
  { account: 'hawser-controller', verb: 'patch', group: '', resource: 'pods', subresource: 'status' },
  { account: 'hawser-controller', verb: 'patch', group: '', resource: 'nodes', subresource: 'status' },
  {
    account: 'hawser-controller',
    verb: 'create',
    group: 'rbac.authorization.k8s.io',
    resource: 'rolebindings',
  },
  { account: 'hawser-controller', verb: 'patch', group: 'discovery.k8s.io', resource: 'endpointslices' },
  { account: 'hawser-controller', verb: 'watch', group: '', resource: 'secrets', own: true },
  {
    account: 'hawser-controller',
    verb: 'update',
    group: 'coordination.k8s.io',
    resource: 'leases',
    own: true,
  },
  { account: 'hawser-gateway', verb: 'create', group: 'authentication.k8s.io', resource: 'tokenreviews' },
  { account: 'hawser-gateway', verb: 'create', group: hawser, resource: 'incomingpeerings' },
  { account: 'hawser-gateway', verb: 'update', group: hawser, resource: 'remoteclusters' },
  {
    account: 'hawser-gateway',
    verb: 'update',
    group: hawser,
    resource: 'peeringtokens',
    subresource: 'status',
    own: true,
  },
  { account: 'hawser-gateway', verb: 'get', group: hawser, resource: 'tunnels' },
  { account: 'hawser-node', verb: 'watch', group: hawser, resource: 'tunnels' },
  { account: 'hawser-node', verb: 'patch', group: hawser, resource: 'fabricnodes', subresource: 'status' },
  { account: 'hawser-node', verb: 'watch', group: '', resource: 'pods' },
  {
    account: 'hawser-node',
    verb: 'watch',
    group: '',
    resource: 'secrets',
    name: 'hawser-tunnel-keys',
    own: true,
  },
];

/** `patch outgoingpeerings.hawser.dev/status` */
export function rightText({ verb, group, resource, subresource }: Right): string {
  const whole = group === '' ? resource : `${resource}.${group}`;
  return `${verb} ${whole}${subresource === undefined ? '' : `/${subresource}`}`;
}

/** The SubjectAccessReview for a permission. */
export function rightReview(right: Right, namespace: string): object {
  const { account, verb, group, resource, subresource, own, name } = right;
  return {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    metadata: {},
    spec: {
      user: `system:serviceaccount:${namespace}:${account}`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      resourceAttributes: {
        verb,
        group,
        resource,
        ...(subresource !== undefined && { subresource }),
        ...(own && { namespace }),
        ...(name !== undefined && { name }),
      },
    },
  };
}
