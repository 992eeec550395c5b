import * as assert from 'uvu/assert';
import { hawser } from '../../support/installation.ts';
import { eventually } from '../../support/workload.ts';
import type { Attack } from '../attack.ts';
import { apiVersion, ask, group, peeringCondition, reflected } from '../bed.ts';

const escape = '\u001b]0;owned\u0007\u001b[2J\u009b31m\u202eevil';
const control = /[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069]/gu;

export const terminalText: Attack = {
  name: 'escape sequences in field names, versions and messages',
  async play(bed) {
    const { provider, hostile, signal } = bed;
    const path = group(apiVersion, hostile.twin, 'shadowpods');
    const made = await ask(hostile, signal, 'POST', path, {
      apiVersion,
      kind: 'ShadowPod',
      metadata: { name: 'escape', labels: reflected },
      spec: { podUID: 'u', pod: { containers: [{ name: 'm', image: 'x' }], [escape]: escape } },
    });
    let where = `the answer: ${made.status}`;
    if (made.status === 201) {
      await eventually('it to be refused', 30, async () => {
        const condition = await peeringCondition(bed, hostile, 'WithinGrant');
        return condition?.status === 'False' && condition.message.includes('escape');
      });
      where = 'IncomingPeering WithinGrant=False';
    } else assert.ok(made.status === 400 || made.status === 422, made.message);
    const renewed: unknown = await hostile.gateway
      .requestIdentity(
        {
          clusterID: hostile.id,
          publicKey: hostile.key.publicKey,
          peering: 'default',
          version: escape,
          features: [escape],
        },
        { signal },
      )
      .then(
        () => 'taken',
        () => 'refused',
      );
    let characters = 0;
    for (const args of [['status'], ['doctor'], ['status', hostile.id]]) {
      // A failing check is no failure of this attack.
      const text = await hawser(provider, args).catch(
        (error: { stdout?: string; message: string }) => `${error.stdout ?? ''}${error.message}`,
      );
      const controls = text.match(control) ?? [];
      assert.equal(controls, [], `hawser ${args.join(' ')} prints control characters`);
      characters += text.length;
    }
    await ask(hostile, signal, 'DELETE', `${path}/escape`);
    await hostile.gateway.requestIdentity(
      {
        clusterID: hostile.id,
        publicKey: hostile.key.publicKey,
        peering: 'default',
        version: '0.1.0',
        features: [],
      },
      { signal },
    );
    return {
      stopped: `none of ${characters} characters of hawser status and doctor is a control (version: ${String(renewed)})`,
      seenAt: where,
    };
  },
};
