import * as assert from 'uvu/assert';
import type { Attack } from '../attack.ts';
import { apiVersion, ask, deniedBy, group } from '../bed.ts';
import { namespace } from '../../support/installation.ts';

const policy = 'hawser-consumer-twin-names';

export const twinNames: Attack = {
  name: 'twin namespaces com, corp, monitoring, kube-system, and those of others',
  async play(bed) {
    const { provider, hostile, neighbour, signal } = bed;
    const deniedBefore = await deniedBy(bed, policy);
    const before = await provider.kubectl(['get', 'namespaces', '-o', 'name']);
    const origin = () =>
      provider.kubectl(['get', 'namespace', neighbour.twin, '-o', 'jsonpath={.metadata.labels}']);
    const labels = await origin();
    const wanted = [
      'com',
      'corp',
      'monitoring',
      'kube-system',
      'default',
      namespace,
      neighbour.twin,
      neighbour.tenant,
      `-${hostile.id}`,
    ];
    for (const [index, name] of wanted.entries()) {
      const { status, message } = await ask(
        hostile,
        signal,
        'POST',
        group(apiVersion, hostile.tenant, 'twinnamespaces'),
        {
          apiVersion,
          kind: 'TwinNamespace',
          metadata: { name: `claim-${index}` },
          spec: { sourceNamespace: `claim-${index}`, sourceUID: 'u', namespace: name },
        },
      );
      assert.ok(status === 403 || status === 422, `${name}: ${status} ${message}`);
    }
    assert.is(await provider.kubectl(['get', 'namespaces', '-o', 'name']), before, 'no namespace was made');
    assert.is(await origin(), labels, 'the neighbour’s is the neighbour’s');
    const denied = (await deniedBy(bed, policy)) - deniedBefore;
    assert.ok(denied > 0, 'the API server counts them');
    return {
      stopped: `policy ${policy} refused ${wanted.length} of ${wanted.length}`,
      seenAt: `metric apiserver_validating_admission_policy_check_total (${denied})`,
    };
  },
};
