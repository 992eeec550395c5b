/** Whether pods in twin namespaces can resolve names, from the state of the cluster's DNS. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { EndpointSlice } from '../../../shared/kube/types.ts';
import { dnsFinding } from '../../../daemon/tenant/name-resolution.ts';

const slice = (...ready: (boolean | undefined)[]): EndpointSlice => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'kube-dns-x' },
  addressType: 'IPv4',
  endpoints: ready.map((each) => ({
    addresses: ['10.244.0.2'],
    ...(each !== undefined && { conditions: { ready: each } }),
  })),
});

test('one ready endpoint is enough, and unknown state is not reported as a failure', () => {
  const cases: [EndpointSlice[], string][] = [
    [[], 'NoClusterDNS'],
    [[slice()], 'NoReadyEndpoint'],
    [[slice(false, false)], 'NoReadyEndpoint'],
    [[slice(false), slice(false, true)], 'DNSReady'],
    [[slice(undefined)], 'DNSReady'],
    // Slices of Services without endpoints have a null list.
    [[{ ...slice(), endpoints: null as never }], 'NoReadyEndpoint'],
  ];
  for (const [slices, reason] of cases) assert.is(dnsFinding(slices).reason, reason);
});

test.run();
