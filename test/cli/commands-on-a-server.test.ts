/** The commands against a real API server. The tests write status in place of the controller. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { crdManifests } from '../../deploy/crds.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import { residueConfigMap, withResidue } from '../../shared/residue.ts';
import { hashSecret } from '../../shared/trust/digest.ts';
import { decodePeeringToken } from '../../shared/trust/token-codec.ts';
import { upControlPlane, type ControlPlane } from '../testbed/index.ts';
import { waitFor } from '../testbed/run.ts';
import { hawser as run, type RunOptions } from './run-cli.ts';
import { condition as conditionWith } from '../support/objects.ts';

const commands = suite('commands on an API server');
let plane: ControlPlane;
let token = '';

const hawser = (words: string[], options: RunOptions = {}) =>
  run(words, { ...options, environment: { KUBECONFIG: plane.kubeconfig, ...options.environment } });
const get = async (...args: string[]) =>
  JSON.parse(await plane.kubectl(['get', ...args, '-o', 'json'])) as {
    items: unknown[];
    metadata: { name: string };
    spec: Record<string, unknown>;
  };
const apply = (object: object) =>
  plane.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], {
    input: JSON.stringify({ apiVersion, ...object }),
  });
const patchStatus = (kind: string, name: string, status: object, namespace = 'default') =>
  plane.kubectl([
    ...`patch ${kind} ${name} -n ${namespace} --subresource=status --type=merge -p`.split(' '),
    JSON.stringify({ status }),
  ]);
const condition = (type: string, status: 'True' | 'False', message = 'as expected', reason = 'Test') =>
  conditionWith(type, status, { message, reason });

const self = {
  clusterID: 'oak-1',
  publicKey: `${'A'.repeat(43)}=`,
  gatewayURL: 'https://192.0.2.1:7443',
  gatewayPin: 'a'.repeat(64),
};

commands.before(async () => {
  plane = await upControlPlane({ name: 'cli' });
  await plane.kubectl(['create', 'namespace', 'hawser-system']);
});
commands.after(() => plane.stop());

commands('status in a cluster without Hawser names how to install it', async () => {
  const { exitCode, stderr } = await hawser(['status']);
  assert.is(exitCode, 1);
  assert.match(stderr, /not installed in the cluster of context ".+"; install the chart first/);
});

commands('token create without an API gateway address fails with the reason', async () => {
  await plane.kubectl(['apply', '--server-side', '-f', '-'], {
    input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crdManifests() }),
  });
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=20s', 'crd', '--all']);
  await apply({ kind: 'LocalCluster', metadata: { name: 'self' }, spec: {} });
  assert.match((await hawser(['token', 'create'])).stderr, /has no ID yet/);
  await patchStatus('localcluster', 'self', { clusterID: 'oak-1', publicKey: self.publicKey });
  const { exitCode, stderr } = await hawser(['token', 'create']);
  assert.is(exitCode, 1);
  assert.match(stderr, /its Service has no address/);
  await patchStatus('localcluster', 'self', self);
});

commands('token create prints only the token, and the cluster stores only its hash', async () => {
  const words = 'token create --cpu 2 --pods 7 --consumer elm-1 --expires-in 10m'.split(' ');
  const { exitCode, stdout, stderr } = await hawser(words);
  assert.is(exitCode, 0);
  token = stdout.trim();
  assert.match(token, /^hawser1\.[A-Za-z0-9_-]+$/);
  assert.match(stderr, /Can be redeemed once, until .* 2 CPUs, 8Gi of memory and 7 pods/);
  const content = decodePeeringToken(token);
  assert.is(content.clusterID, 'oak-1');
  assert.is(content.gatewayPin, self.gatewayPin);
  const { items } = await get('peeringtokens', '-n', 'hawser-system');
  const [held] = items as { spec: { secretHash: string; consumer: string } }[];
  assert.is(items.length, 1);
  assert.is(held?.spec.secretHash, hashSecret(content.secret));
  assert.is(held?.spec.consumer, 'elm-1');
  assert.not.match(JSON.stringify(items), content.secret);
});

commands('token create refuses an invalid grant by field, and creates nothing', async () => {
  for (const [option, value, expected] of [
    ['--cpu', 'lots', /grant\.cpu/],
    ['--cpu', '9999999', /grant\.cpu: is out of range \(1m to 1M\)/],
    ['--pod-security', 'none', /grant\.podSecurity/],
    ['--enforcement', 'some', /must be soft, hard or none/],
    ['--enforcement', 'none', /grant\.enforcement: .* \(Soft or Hard\)/],
    ['--extended-resource', 'nvidia.com/gpu', /must be NAME=QUANTITY/],
    ['--extended-resource', 'gpu=1', /grant\.extendedResources\.0\.name/],
    ['--default-limit', 'pods=1', /must be cpu, memory or ephemeral-storage/],
    ['--consumer', 'oak-1', /this cluster itself/],
    ['--consumer', 'Not An ID', /consumer: is not a valid cluster ID/],
  ] as const) {
    const { exitCode, stderr } = await hawser(['token', 'create', option, value]);
    assert.is(exitCode, 2, stderr);
    assert.match(stderr, expected);
  }
  assert.is((await get('peeringtokens', '-n', 'hawser-system')).items.length, 1);
});

commands('token create grants devices, default limits and a mode', async () => {
  const words =
    'token create --extended-resource nvidia.com/gpu=2 --extended-resource hugepages-2Mi=1Gi --enforcement hard --default-limit cpu=500m --default-limit ephemeral-storage=2Gi --ephemeral-storage 20Gi -o json';
  const { exitCode, stdout, stderr } = await hawser(words.split(' '));
  assert.is(exitCode, 0, stderr);
  const { name, grant } = JSON.parse(stdout) as { name: string; grant: object };
  const expected = {
    cpu: '4',
    memory: '8Gi',
    pods: 110,
    podSecurity: 'baseline',
    ephemeralStorage: '20Gi',
    extendedResources: [
      { name: 'nvidia.com/gpu', quantity: '2' },
      { name: 'hugepages-2Mi', quantity: '1Gi' },
    ],
    enforcement: 'Hard',
    defaultLimits: { cpu: '500m', ephemeralStorage: '2Gi' },
  };
  assert.equal(grant, expected);
  await plane.kubectl(['delete', 'peeringtoken', name, '-n', 'hawser-system']);
});

commands('token list shows a token, and token revoke revokes it', async () => {
  const [row] = JSON.parse((await hawser(['token', 'list', '-o', 'json'])).stdout) as {
    name: string;
    state: string;
  }[];
  assert.is(row?.state, 'Redeemable');
  const revoked = await hawser(['token', 'revoke', row?.name ?? '']);
  assert.is(revoked.exitCode, 0);
  assert.match(revoked.stdout, /^Revoked: token-/);
  assert.match((await hawser(['token', 'list'])).stdout, /Revoked +in \d+ min +\(only elm-1\) +2 CPUs/);
  assert.match((await hawser(['token', 'revoke', 'token-x'])).stderr, /peering token "token-x" not found/);
});

commands('peer refuses a token that this cluster issued', async () => {
  const { exitCode, stderr } = await hawser(['peer', '-'], { input: token });
  assert.is(exitCode, 2);
  assert.match(stderr, /this cluster \(oak-1\) issued the token/);
});

commands(
  'peer creates the objects that the controller starts from, and names at the deadline what it waited for',
  async () => {
    await patchStatus('localcluster', 'self', { ...self, clusterID: 'elm-1' });
    const { exitCode, stderr } = await hawser(['peer', '-', '--timeout', '1'], { input: `${token}\n` });
    assert.is(exitCode, 3);
    assert.match(stderr, 'timed out after 1s; waiting for: the controller to authenticate to oak-1');
    assert.match(stderr, 'to give up, run "hawser unpeer oak-1"');
    const peering = await get('outgoingpeering', 'oak-1');
    assert.equal(peering.spec, {
      remoteCluster: 'oak-1',
      peering: 'default',
      nodeName: 'hawser-oak-1',
      desired: 'Active',
      tokenSecretName: 'hawser-token-oak-1',
    });
    const secret = await plane.kubectl(
      'get secret hawser-token-oak-1 -n hawser-system -o jsonpath={.data.token}'.split(' '),
    );
    assert.is(Buffer.from(secret, 'base64').toString(), token);
  },
);

commands('peer fails at once when the token is refused', async () => {
  await patchStatus('outgoingpeering', 'oak-1', {
    conditions: [condition('IdentityValid', 'False', 'oak-1 does not take the token', 'TokenRefused')],
  });
  const startedAt = performance.now();
  const { exitCode, stderr } = await hawser(['peer', '-', '--timeout', '30'], { input: token });
  assert.is(exitCode, 1);
  assert.match(stderr, /does not take the token[^]*hawser unpeer oak-1/);
  assert.ok(performance.now() - startedAt < 10_000);
});

commands('peer reports each step and succeeds when the peering is Ready', async () => {
  await patchStatus('outgoingpeering', 'oak-1', { conditions: [] });
  const peering = hawser(['peer', '-', '-o', 'json'], { input: token });
  await patchStatus('outgoingpeering', 'oak-1', { conditions: [condition('IdentityValid', 'True')] });
  await apply({
    kind: 'Tunnel',
    metadata: { name: 'oak-1' },
    spec: {
      remoteCluster: 'oak-1',
      consumer: true,
      provider: false,
      remotePodCIDRs: ['10.0.0.0/16'],
      remoteExternalCIDR: '100.64.0.0/20',
      remoteTunnelEndpoints: [],
      remaps: [],
      remoteRemaps: [],
      mtu: 1420,
      presharedKeyRevision: '1',
    },
  });
  await patchStatus('tunnel', 'oak-1', {
    conditions: [condition('Established', 'True'), condition('PathVerified', 'True')],
  });
  await patchStatus('outgoingpeering', 'oak-1', {
    conditions: ['IdentityValid', 'Negotiated', 'NodeReady', 'Ready'].map((type) => condition(type, 'True')),
  });
  const { exitCode, stdout, stderr } = await peering;
  assert.is(exitCode, 0, stderr);
  for (const step of [
    'authenticated',
    'negotiated',
    'established',
    'path verified',
    'node hawser-oak-1 is Ready',
  ]) {
    assert.match(stderr, new RegExp(`OK +.*${step}`));
  }
  const facts = JSON.parse(stdout) as { node: string; provider: string };
  assert.is(facts.node, 'hawser-oak-1');
  assert.is(facts.provider, 'oak-1');
});

commands('status exits with 0 when all peerings are Ready, and with 1 otherwise', async () => {
  const well = await hawser(['status']);
  assert.is(well.exitCode, 0, well.stdout + well.stderr);
  await patchStatus('outgoingpeering', 'oak-1', {
    conditions: [condition('Ready', 'False', 'oak-1 is silent')],
  });
  const { exitCode, stdout } = await hawser(['status', '-o', 'yaml']);
  assert.is(exitCode, 1);
  assert.match(stdout, 'message: oak-1 is silent');
  assert.match((await hawser(['status', 'fir'])).stderr, /peering "fir" not found \(existing: oak-1\)/);
});

commands('status --watch writes changes to a pipe, and exits with 0 when interrupted', async () => {
  for (const [output, pattern] of [
    [[], /^[-0-9T:]+Z -> oak-1 Ready=False: oak-1 is deaf$/m],
    [['-o', 'json'], /^\{"cluster".*oak-1 is deaf.*\}$/m],
  ] as const) {
    await patchStatus('outgoingpeering', 'oak-1', {
      conditions: [condition('Ready', 'False', 'oak-1 is silent')],
    });
    const stop = new AbortController();
    const watching = hawser(['status', '--watch', ...output], { signal: stop.signal });
    await delay(1500);
    await patchStatus('outgoingpeering', 'oak-1', {
      conditions: [condition('Ready', 'False', 'oak-1 is deaf')],
    });
    await delay(3000);
    stop.abort();
    const { exitCode, stdout, stderr } = await watching;
    assert.is(exitCode, 0, stderr);
    assert.match(stdout, 'oak-1 is silent');
    assert.match(stdout, pattern);
    assert.is(stdout.split('oak-1 is deaf').length, 2, 'reported once');
  }
});

commands('offload namespace fails for a missing namespace', async () => {
  const { exitCode, stderr } = await hawser(['offload', 'namespace', 'shop']);
  assert.is(exitCode, 1);
  assert.match(stderr, 'namespace "shop" not found; create it first: kubectl create namespace shop');
});

commands('offload namespace waits for the current generation, and names the twin namespaces', async () => {
  await plane.kubectl(['create', 'namespace', 'shop']);
  assert.is((await hawser(['offload', 'namespace', 'shop', '--timeout', '1'])).exitCode, 3);
  const again = hawser(['offload', 'namespace', 'shop', '--placement', 'remote', '-l', 'a=b']);
  await waitFor(
    'the second generation',
    async () => (await get('hoff', 'offloading', '-n', 'shop')).spec['podPlacement'] === 'Remote',
    { timeoutMilliseconds: 10_000, intervalMilliseconds: 50, signal: undefined },
  );
  const status = (observedGeneration: number) => ({
    observedGeneration,
    conditions: [condition('Ready', 'True')],
    remotes: [{ peering: 'oak-1', twinNamespace: 'shop-elm-1' }],
  });
  await patchStatus('hoff', 'offloading', status(1), 'shop');
  await patchStatus('hoff', 'offloading', status(2), 'shop');
  const { exitCode, stdout, stderr } = await again;
  assert.is(exitCode, 0, stderr);
  assert.match(stderr, 'twin namespace shop-elm-1 at oak-1');
  assert.match(stdout, 'New pods of shop can run on 1 provider(s).');
  assert.equal((await get('hoff', 'offloading', '-n', 'shop')).spec, {
    podPlacement: 'Remote',
    clusterSelector: { matchLabels: { a: 'b' } },
  });
});

commands('unoffload namespace waits until the NamespaceOffloading is deleted', async () => {
  await plane.kubectl(
    'patch hoff offloading -n shop --type=merge -p {"metadata":{"finalizers":["hawser.dev/cleanup"]}}'.split(
      ' ',
    ),
  );
  const late = await hawser(['unoffload', 'namespace', 'shop', '--timeout', '1']);
  assert.is(late.exitCode, 3);
  await plane.kubectl(
    'patch hoff offloading -n shop --type=merge -p {"metadata":{"finalizers":null}}'.split(' '),
  );
  assert.match((await hawser(['unoffload', 'namespace', 'shop'])).stdout, 'Namespace shop is not offloaded.');
});

commands(
  'drain waits until no pods are left, and activate fails while the provider has cordoned the peering',
  async () => {
    const say = async (status: 'True' | 'False', reason: string, message: string) => {
      const { metadata } = (await get('hout', 'oak-1')) as { metadata: { generation?: number } };
      await patchStatus('hout', 'oak-1', {
        conditions: [
          { ...condition('Schedulable', status, message, reason), observedGeneration: metadata.generation },
        ],
      });
    };
    await say('True', 'Active', 'new pods may be placed on node hawser-oak-1');
    const late = await hawser(['drain', 'oak-1', '--timeout', '1']);
    assert.is(late.exitCode, 3, 'a condition of an earlier generation does not count');
    assert.match(late.stderr, 'waiting for: the controller to observe the change');
    assert.is((await get('hout', 'oak-1')).spec['desired'], 'Drained');
    const draining = hawser(['drain', 'oak-1', '--timeout', '60']);
    await say('False', 'Draining', 'being drained by this cluster: 1 pods are still on node hawser-oak-1');
    await delay(500);
    await say('False', 'Drained', 'drained by this cluster: no pods are left');
    const drained = await draining;
    assert.is(drained.exitCode, 0, drained.stderr);
    assert.match(drained.stdout, 'Drained: oak-1.');
    assert.is((await hawser(['activate', 'oak-1', '--timeout', '0'])).exitCode, 0);
    await say(
      'False',
      'Cordoned',
      'cordoned by the provider oak-1: no new pods are placed on node hawser-oak-1',
    );
    const refused = await hawser(['activate', 'oak-1']);
    assert.is(refused.exitCode, 1);
    assert.match(refused.stderr, /activated here, but cordoned by the provider oak-1/);
    assert.is((await hawser(['cordon', 'oak-1', '--timeout', '0'])).exitCode, 0);
    await say('False', 'Cordoned', 'cordoned by this cluster');
    assert.match((await hawser(['cordon', 'oak-1'])).stdout, 'Cordoned: oak-1.');
    assert.match(
      (await hawser(['drain', 'oak-1', '--incoming'])).stderr,
      /outgoing peering exists: omit --incoming/,
    );
  },
);

commands(
  'no command passes control characters of a condition, a twin name or a residue to the terminal',
  async () => {
    const attack = '\u001B]0;x\u0007\u009B2J\u202Eko\nhawser: done';
    const shown = '\\u001b]0;x\\u0007\\u009b2J\\u202eko';
    // The same text with YAML escapes.
    const yaml = '\\e]0;x\\a\\x9B2J\\u202eko';
    const { metadata } = (await get('hout', 'oak-1')) as { metadata: { generation?: number } };
    const hostile = ['Ready', 'Schedulable', 'IdentityValid'].map((type) => ({
      ...condition(type, 'False', `late ${attack}`),
      observedGeneration: (metadata.generation ?? 0) + 1,
    }));
    await patchStatus('hout', 'oak-1', { conditions: hostile });
    const lines: [words: string[], input?: string][] = [
      [['status']],
      [['status', 'oak-1']],
      [['status', '-o', 'json']],
      [['status', '-o', 'yaml']],
      [['doctor', '--stored']],
      [['doctor', '--stored', '-o', 'json']],
      [['peer', '-', '--timeout', '0'], token],
      [['peer', '-', '--timeout', '1'], token],
      [['drain', 'oak-1', '--timeout', '1']],
      [['cordon', 'oak-1', '--timeout', '1']],
      [['activate', 'oak-1', '--timeout', '1']],
    ];
    for (const [words, input] of lines) {
      const { stdout, stderr } = await hawser(words, {
        terminal: true,
        environment: { NO_COLOR: '1' },
        ...(input !== undefined && { input }),
      });
      // Remove the sequences that replace a progress line.
      const out = (stdout + stderr).replaceAll('\r\u001B[2K', '');
      // oxlint-disable-next-line no-control-regex -- these are what is looked for
      assert.not.match(out, /[\u0000-\u0009\u000B-\u001F\u007F-\u009F\u202E]/, words.join(' '));
      if (!words.includes('0')) assert.match(out, words.includes('yaml') ? yaml : shown, words.join(' '));
      assert.not.match(out, /^hawser: done/m, words.join(' '));
    }
  },
);

commands('unpeer prints Removed once everything is deleted, and lists what is left otherwise', async () => {
  await plane.kubectl(
    'patch hout oak-1 --type=merge -p {"metadata":{"finalizers":["hawser.dev/cleanup"]}}'.split(' '),
  );
  const { metadata } = (await get('hout', 'oak-1')) as { metadata: { uid?: string } };
  await apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: residueConfigMap, namespace: 'hawser-system' },
    data: withResidue({}, metadata.uid ?? '', {
      kind: 'OutgoingPeering',
      name: 'oak-1',
      at: '2026-01-01T00:00:00Z',
      residue: ['namespace shop-elm-1 at oak-1: kubectl delete namespace shop-elm-1'],
    }),
  });
  assert.match(
    (await hawser(['unpeer', 'oak-1', '--incoming'])).stderr,
    /but an outgoing peering exists: omit --incoming/,
  );
  const unpeering = hawser(['unpeer', 'oak-1']);
  await waitFor(
    'the mark of deletion',
    async () => JSON.stringify(await get('hout', 'oak-1')).includes('deletionTimestamp'),
    { timeoutMilliseconds: 10_000, intervalMilliseconds: 50, signal: undefined },
  );
  await plane.kubectl('patch hout oak-1 --type=merge -p {"metadata":{"finalizers":null}}'.split(' '));
  const { exitCode, stdout, stderr } = await unpeering;
  assert.is(exitCode, 1);
  assert.is(stdout, '');
  assert.match(stderr, 'kubectl delete namespace shop-elm-1');
  assert.match(stderr, 'tunnel oak-1 still exists');
  await plane.kubectl(['delete', 'tunnel', 'oak-1']);
  const interrupted = await hawser(['unpeer', 'oak-1']);
  assert.match(interrupted.stdout, 'Removed: the token of a peering with oak-1 that was never started.');
  await apply({
    kind: 'OutgoingPeering',
    metadata: { name: 'oak-1' },
    spec: { remoteCluster: 'oak-1', peering: 'default', nodeName: 'hawser-oak-1', desired: 'Active' },
  });
  const clean = await hawser(['unpeer', 'oak-1']);
  assert.is(clean.exitCode, 0, clean.stderr);
  assert.match(clean.stdout, 'Removed: oak-1.');
  assert.match(
    (await hawser(['unpeer', 'oak-1'])).stderr,
    /outgoing peering "oak-1" not found \(existing: none\)/,
  );
});

commands('clear and unpeer --all wait for the controller, and work without one with --force', async () => {
  await apply({
    kind: 'OutgoingPeering',
    metadata: { name: 'oak-1', finalizers: ['hawser.dev/peering', 'hawser.dev/vnode'] },
    spec: { remoteCluster: 'oak-1', peering: 'default', nodeName: 'hawser-oak-1', desired: 'Active' },
  });
  await apply({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'hawser-oak-1', labels: { 'hawser.dev/virtual-node': 'true' } },
  });
  const late = await hawser(['unpeer', '--all', '--timeout', '1']);
  assert.is(late.exitCode, 3, late.stderr);
  assert.match(late.stderr, /waiting for: the deletion of outgoingpeering oak-1[^]*hawser clear --force/);
  assert.is(JSON.stringify(await get('hout', 'oak-1')).includes('deletionTimestamp'), true);
  const forced = await hawser(['clear', '--timeout', '1', '--force']);
  assert.is(forced.exitCode, 0, forced.stderr);
  assert.match(forced.stdout, /at the provider oak-1: .*hawser unpeer --incoming/);
  assert.is((await get('hout')).items.length, 0);
  assert.is((await get('nodes')).items.length, 0);
  const nothing = await hawser(['clear']);
  assert.is(nothing.exitCode, 0, nothing.stderr);
  assert.not.match(nothing.stdout, 'Left at other clusters');
});

commands('an error of an unreachable API server names its context and address', async () => {
  const kubeconfig = join(await mkdtemp(join(tmpdir(), 'hawser-cli-')), 'config');
  await copyFile(plane.kubeconfig, kubeconfig);
  await plane.stop();
  const { exitCode, stderr } = await hawser(['status', '--kubeconfig', kubeconfig]);
  await rm(dirname(kubeconfig), { recursive: true });
  assert.is(exitCode, 1);
  assert.match(stderr, /cannot reach the API server of context ".+" \(127\.0\.0\.1:\d+\)/);
});

commands.run();
