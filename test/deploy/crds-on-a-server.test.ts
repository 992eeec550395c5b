import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { connectKube } from '../../daemon/clients/kubernetes/index.ts';
import { loadKubeconfig } from '../../daemon/clients/kubernetes/kubeconfig.ts';
import { applyStatus, kind as refKind } from '../../daemon/kube/index.ts';
import { crdManifests } from '../../deploy/crds.ts';
import { kinds } from '../../shared/api/kinds.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { upControlPlane, type ControlPlane } from '../testbed/index.ts';

const server = suite('CustomResourceDefinitions on an API server');
let plane: ControlPlane;

server.before(async () => {
  plane = await upControlPlane({ name: 'crds' });
  await plane.kubectl(['apply', '--server-side', '-f', '-'], { input: list(crdManifests()) });
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=20s', 'crd', '--all']);
});
server.after(() => plane.stop());

const list = (items: object[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
const apply = (object: object) =>
  plane.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], {
    input: JSON.stringify({ apiVersion, ...object }),
  });

/** Applies an object; returns the API server's error. */
async function refused(object: object): Promise<string> {
  try {
    await apply(object);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error(`accepted: ${JSON.stringify(object)}`);
}

server('every schema is structural and every rule compiles', async () => {
  const answer = JSON.parse(await plane.kubectl(['get', 'crd', '-o', 'json'])) as {
    items: {
      metadata: { name: string };
      status: { conditions: { type: string; status: string; message: string }[] };
    }[];
  };
  assert.is(answer.items.length, kinds.length);
  for (const { metadata, status } of answer.items) {
    const bad = status.conditions.filter(
      ({ type, status: value }) =>
        (type === 'NonStructuralSchema' && value === 'True') ||
        (type === 'NamesAccepted' && value !== 'True'),
    );
    assert.equal(bad, [], metadata.name);
  }
});

server(
  'a status field that the schema refuses leaves the rest of the status, and a condition names it',
  async () => {
    await apply({ kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} });
    const client = connectKube(
      await loadKubeconfig({ kubeconfig: plane.kubeconfig, environment: process.env }),
    );
    try {
      const signal = AbortSignal.timeout(20_000);
      const read = () => client.get({ kind: refKind.localCluster, name: 'self' }, signal);
      const store = async (apiServerURL: string) => {
        const object = await read();
        assert.ok(object);
        const fields = { clusterID: 'elm-1', apiServerURL };
        await applyStatus(
          { kube: client, fieldManager: 'test', object, findings: [], fields, now: 0 },
          signal,
        );
        return (await read())?.status;
      };
      const partial = await store('https://api.example/a path');
      assert.is(partial?.clusterID, 'elm-1');
      assert.is(partial?.apiServerURL, undefined);
      assert.match(partial?.conditions?.[0]?.message ?? '', /refused status\.apiServerURL: .*should match/);
      const stored = await store('https://rancher.example/k8s/clusters/c-1');
      assert.is(stored?.apiServerURL, 'https://rancher.example/k8s/clusters/c-1');
      assert.equal(stored?.conditions ?? [], []);
    } finally {
      client.close();
    }
  },
);

server('a kind is found by its short name and its category', async () => {
  for (const kind of kinds) {
    for (const name of [kind.plural, kind.singular, ...kind.shortNames]) {
      await plane.kubectl(['get', `${name}.hawser.dev`, '--all-namespaces']);
    }
  }
  await plane.kubectl(['get', 'hawser', '--all-namespaces']);
});

const outgoing = {
  kind: 'OutgoingPeering',
  metadata: { name: 'oak' },
  spec: { remoteCluster: 'oak', peering: 'default', nodeName: 'hawser-oak', desired: 'Active' },
};

server('a peering’s identity is immutable, its desired state is not', async () => {
  await apply(outgoing);
  await apply({ ...outgoing, spec: { ...outgoing.spec, desired: 'Cordoned' } });
  assert.match(
    await refused({ ...outgoing, spec: { ...outgoing.spec, nodeName: 'other' } }),
    /never change; make another peering/,
  );
  assert.match(await refused({ ...outgoing, spec: { ...outgoing.spec, desired: 'Gone' } }), /Active/);
});

server('an absent field of a spec has its default', async () => {
  await apply({ kind: 'NamespaceOffloading', metadata: { name: 'offloading', namespace: 'default' } });
  await apply({
    kind: 'OutgoingPeering',
    metadata: { name: 'fir' },
    spec: { remoteCluster: 'fir', peering: 'default', nodeName: 'hawser-fir' },
  });
  const stored = async (...names: string[]) =>
    (JSON.parse(await plane.kubectl(['get', ...names, '-o', 'json'])) as { spec: Record<string, unknown> })
      .spec;
  assert.equal(await stored('hoff', 'offloading', '-n', 'default'), { podPlacement: 'LocalAndRemote' });
  assert.is((await stored('hout', 'fir'))['desired'], 'Active');
});

server('a TwinNamespace’s spec is immutable', async () => {
  const twin = {
    kind: 'TwinNamespace',
    metadata: { name: 'shop', namespace: 'default' },
    spec: { sourceNamespace: 'shop', sourceUID: '1', namespace: 'shop-elm' },
  };
  await apply(twin);
  assert.match(
    await refused({ ...twin, spec: { ...twin.spec, namespace: 'shop-fir' } }),
    /TwinNamespace never changes/,
  );
});

server('only a LocalCluster named self is accepted', async () => {
  assert.match(await refused({ kind: 'LocalCluster', metadata: { name: 'other' }, spec: {} }), /self/);
  await apply({ kind: 'LocalCluster', metadata: { name: 'self' }, spec: { podCIDRs: ['10.244.0.0/16'] } });
  assert.match(
    await refused({ kind: 'LocalCluster', metadata: { name: 'self' }, spec: { podCIDRs: ['pods'] } }),
    /podCIDRs/,
  );
});

server('a shadow pod keeps every field of its pod', async () => {
  const pod = { containers: [{ name: 'a', image: 'b' }], aFieldOfTomorrow: { deep: [1] } };
  await apply({
    kind: 'ShadowPod',
    metadata: { name: 'web', namespace: 'default' },
    spec: { podUID: '1', pod },
  });
  const kept = JSON.parse(await plane.kubectl(['get', 'hpod', 'web', '-o', 'json'])) as { spec: object };
  assert.equal(kept.spec, { podUID: '1', pod });
});

server('status is a subresource, and its conditions are a map by type', async () => {
  const now = '2026-01-01T00:00:00Z';
  const condition = (type: string) => ({
    type,
    status: 'True',
    lastTransitionTime: now,
    reason: 'R',
    message: 'M',
  });
  for (const type of ['IdentityValid', 'NodeReady']) {
    await plane.kubectl(
      ['apply', '--server-side', '--subresource=status', `--field-manager=${type.toLowerCase()}`, '-f', '-'],
      {
        input: JSON.stringify({
          apiVersion,
          kind: 'OutgoingPeering',
          metadata: { name: 'oak' },
          status: { conditions: [condition(type)] },
        }),
      },
    );
  }
  const answer = JSON.parse(await plane.kubectl(['get', 'hout', 'oak', '-o', 'json'])) as {
    status: { conditions: { type: string }[] };
  };
  assert.equal(answer.status.conditions.map(({ type }) => type).toSorted(), ['IdentityValid', 'NodeReady']);
});

server.run();
