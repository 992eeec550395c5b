/**
 * In-band: of the provider only the tunnel's UDP port can be reached, the consumer is behind a NAT, and the command holds the
 * chart's two ClusterRoles and nothing else. Later the other way round.
 */
import { spawn } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inventory, inventoryDifference, type Inventory } from '../support/inventory.ts';
import { hawser, namespace } from '../support/installation.ts';
import { limitedKubeconfig, revokeLimited } from '../support/limited-access.ts';
import { installedPair, node, outgoingPeeringOf, tunnelOf, type Pair } from '../support/peered.ts';
import { told } from '../support/told.ts';
import {
  apply,
  dial,
  eventually,
  netexec,
  pods,
  readyPods,
  service,
  type PodFacts,
} from '../support/workload.ts';
import type { BedCluster } from '../testbed/index.ts';
import { run, runAnyway } from '../testbed/run.ts';

const test = suite('in-band');
const story = 'atelier';
const log = (line: string) => console.log(`  ${line}`);
const cli = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const limited = join(tmpdir(), `hawser-in-band-${process.pid}.kubeconfig`);
/** Longer than anything takes on a busy machine; what is waited for ends it. */
const patience = 120;

let pair: Pair;
let before: Inventory[];
let local: PodFacts;
let remote: PodFacts[] = [];
let providerID = '';

const grant = ['--cpu', '8', '--memory', '4Gi', '--pods', '20'];
const peerCommand = (...more: string[]) => [
  process.execPath,
  cli,
  'peer',
  ...more,
  '--remote-context',
  pair.provider.name,
  '--kubeconfig',
  limited,
  '--timeout',
  String(patience),
];
const peerInBand = (...more: string[]) =>
  run(peerCommand('--in-band', ...grant, ...more), {
    timeoutMilliseconds: (patience + 60) * 1000,
  });

/** Runs the command until it has said this, interrupts it as a person would, and returns its exit code. */
function interruptAfter(words: RegExp, command: readonly string[]): Promise<number | null> {
  const [program = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), patience * 1000);
    let said = '';
    let interrupted = false;
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (!words.test(said) || interrupted) return;
      interrupted = true;
      child.kill('SIGINT');
    });
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      if (words.test(said)) resolve(code);
      else reject(new Error(`ended with ${code} before it said ${words.source}: ${said}`));
    });
  });
}

async function condition(cluster: BedCluster, object: string, type: string): Promise<Record<string, string>> {
  const text = await cluster.kubectl(['get', object, '-o', 'json']);
  const { status } = JSON.parse(text) as { status?: { conditions?: Record<string, string>[] } };
  return status?.conditions?.find((each) => each['type'] === type) ?? {};
}

test.before(
  told(async () => {
    pair = await installedPair('in-band', log);
    for (const cluster of [pair.consumer, pair.provider]) {
      // What a node holds without any peering is there once its address is.
      await eventually(`every node of ${cluster.name} to be part of the fabric`, patience, async () => {
        const text = await cluster.kubectl(['get', 'fabricnodes.hawser.dev', '-o', 'json']);
        const { items } = JSON.parse(text) as {
          items: { status?: { conditions?: { type: string; status: string }[] } }[];
        };
        return (
          items.length === cluster.nodes.length &&
          items.every(({ status }) =>
            status?.conditions?.some((each) => each.type === 'Programmed' && each.status === 'True'),
          )
        );
      });
    }
    before = [await inventory(pair.consumer), await inventory(pair.provider)];
    await limitedKubeconfig(limited, [
      [pair.consumer, 'hawser-peer-consumer'],
      [pair.provider, 'hawser-peer-provider'],
    ]);
    const { faults } = pair.bed;
    await faults.firewall(pair.provider.name, { inbound: ['udp/7470'], outbound: [] });
    await faults.firewall(pair.consumer.name, { inbound: [], outbound: ['udp/7470'] });
    await faults.nat(pair.consumer.name, { randomPorts: true });
  }),
);

test.after(async () => {
  await rm(limited, { force: true });
  if (process.env['HAWSER_KEEP'] === undefined) await pair?.bed.down();
});

test('the command may be interrupted anywhere, and run again', async () => {
  for (const step of [/know each other/, /documents exchanged/, /path verified/]) {
    const code = await interruptAfter(step, peerCommand('--in-band', ...grant));
    assert.is(code, 130, step.source);
  }
});

test('one command with limited rights, through nothing but UDP, and the provider is a node', async () => {
  const begun = performance.now();
  const output = await peerInBand();
  log(`hawser peer --in-band, run again: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  assert.match(output, /Ready/);
  // Run once more it has nothing to do.
  assert.match(await peerInBand(), /Ready/);
  providerID = await outgoingPeeringOf(pair.consumer);
  const url = await pair.consumer.kubectl([
    'get',
    'outgoingpeering',
    providerID,
    '-o',
    'jsonpath={.status.identity.apiServerURL}',
  ]);
  assert.match(url, /^https:\/\/100\..*\.3:6443$/, 'the API server is inside the tunnel');
  const left = await pair.consumer.kubectl(['get', 'secret', '-n', namespace, '-o', 'name']);
  assert.not.match(left, /in-band-token/, 'the token is spent and gone');
});

test('pods run there, answer, and have logs and exec, all inside the tunnel', async () => {
  await pair.consumer.kubectl(['create', 'namespace', story]);
  await hawser(pair.consumer, ['offload', 'namespace', story]);
  await apply(
    pair.consumer,
    story,
    netexec('remote', { replicas: 1, nodeSelector: { 'hawser.dev/virtual-node': 'true' } }),
    service('remote'),
    netexec('local', { nodeSelector: { 'kubernetes.io/hostname': pair.consumer.nodes[1]?.name ?? '' } }),
  );
  remote = await readyPods(pair.consumer, story, 'remote', 1, patience);
  [local] = (await readyPods(pair.consumer, story, 'local', 1, patience)) as [PodFacts];
  const [pod] = remote;
  await eventually('an answer from the offloaded pod', 30, () => ask());
  const on = ['-n', story, pod?.name ?? ''];
  assert.match(await pair.consumer.kubectl(['logs', ...on]), /HTTP|netexec|Started/i);
  const name = await pair.consumer.kubectl(['exec', ...on, '--', '/bin/busybox', 'hostname']);
  assert.is(name.trim(), pod?.name);
});

test('the splice reaches gateway and API server, and nothing else', async () => {
  const { spec } = await tunnelOf(pair.consumer);
  const external = spec.remaps.find(({ real }) => real === spec.remoteExternalCIDR)?.mapped ?? '';
  const at = (last: number) => external.replace(/\.0\/[0-9]+$/, `.${last}`);
  const podRange = spec.remaps.find(({ real }) => real === pair.provider.podCIDR)?.mapped ?? '';
  const open = [`${at(2)}:7443`, `${at(3)}:6443`];
  const inPods = (last: string) => podRange.replace(/\.0\.0\/16$/, last);
  const closed = [
    // Other ports of the two, what nodes serve, metrics, etcd.
    ...[6443, 7444, 10250, 22, 7470].map((port) => `${at(2)}:${port}`),
    ...[7443, 10250, 2379, 443].map((port) => `${at(3)}:${port}`),
    // Other fixed addresses, the nodes, and pods that are not this consumer's (CoreDNS and the gateway are among these).
    ...[1, 4, 16, 17].flatMap((last) => [`${at(last)}:6443`, `${at(last)}:7443`, `${at(last)}:10250`]),
    ...['.1.2', '.1.3', '.1.4', '.2.2', '.2.3'].map((last) => `${inPods(last)}:7443`),
  ];
  const reached = await dialFromController([...open, ...closed]);
  assert.equal(reached.toSorted(), open.toSorted());
  // No other pod of the consumer, and no node, gets even so far.
  for (const target of open) {
    const [host = '', port = ''] = target.split(':');
    assert.not(await answers(story, local.name, host, port), `a pod at home → ${target}`);
    await refused(
      `a node at home → ${target}`,
      node(pair.consumer, local.node).exec(['curl', '-sk', '-m', '3', `https://${target}/livez`]),
    );
  }
  // Nor does what runs at the provider for this consumer, by the provider's own names.
  const own = spec.remoteExternalCIDR.replace(/\.0\/[0-9]+$/, '');
  const [real] = remote;
  for (const [last, port] of [
    [2, '7443'],
    [3, '6443'],
  ] as const) {
    const reaches = await answers(story, real?.name ?? '', `${own}.${last}`, port);
    assert.not(reaches, `a tenant's pod → ${own}.${last}:${port}`);
  }
  assert.ok(await answers(story, real?.name ?? '', '127.0.0.1', '8080'), 'the tool tells what is open');
});

test('CONNECT is no way through: neither gateway nor API server is a proxy', async () => {
  const { spec } = await tunnelOf(pair.consumer);
  const external = spec.remaps.find(({ real }) => real === spec.remoteExternalCIDR)?.mapped ?? '';
  const at = (last: number) => external.replace(/\.0\/[0-9]+$/, `.${last}`);
  for (const target of [`${at(2)}:7443`, `${at(3)}:6443`]) {
    const answer = await inController(
      `const [host, port] = ${JSON.stringify(target)}.split(':');
       const socket = require('node:tls').connect({ host, port: Number(port), rejectUnauthorized: false });
       let said = '';
       socket.on('data', (chunk) => (said += chunk));
       const end = () => { console.log(JSON.stringify(said.split('\\r\\n')[0])); process.exit(0); };
       socket.on('error', end); socket.on('close', end); setTimeout(end, 5000);
       socket.write('CONNECT 127.0.0.1:10250 HTTP/1.1\\r\\nHost: 127.0.0.1:10250\\r\\n\\r\\n');`,
    );
    assert.not.match(answer, / 2\d\d/, `${target}: ${answer}`);
  }
});

test('the gateway’s and the API server’s restarts go unnoticed', async () => {
  const steady = await steadyState();
  await pair.provider.kubectl(['delete', 'pod', '-n', namespace, '-l', gatewayLabel, '--wait=true'], {
    timeoutMilliseconds: patience * 1000,
  });
  await scaled(2);
  const apiServer = pair.bed.services().find((name) => name === `${pair.provider.name}.kube-apiserver`) ?? '';
  await pair.bed.kill(apiServer);
  await pair.bed.start(apiServer);
  await scaled(3);
  assert.is(await steadyState(), steady);
});

test('a new certificate of the gateway, with another key, goes unnoticed', async () => {
  const steady = await steadyState();
  const pinOf = () =>
    pair.consumer.kubectl(['get', 'remotecluster', providerID, '-o', 'jsonpath={.spec.gatewayPin}']);
  const pin = await pinOf();
  await pair.provider.kubectl(['delete', 'secret', '-n', namespace, 'hawser-gateway-tls']);
  await eventually(
    'the consumer to trust the new certificate',
    patience,
    async () => (await pinOf()) !== pin,
  );
  await eventually('the documents to be exchanged under it', patience, async () => {
    const found = await condition(pair.consumer, `outgoingpeering/${providerID}`, 'Negotiated');
    return found['status'] === 'True';
  });
  await scaled(4);
  assert.is(await steadyState(), steady);
});

test('the consumer’s address and port change behind its NAT', async () => {
  const endpoint = async () =>
    (await pair.provider.kubectl([
      'get',
      'tunnels.hawser.dev',
      '-o',
      'jsonpath={.items[0].status.endpoint}',
    ])) || undefined;
  const was = await eventually('the provider to tell where the consumer is', patience, endpoint);
  await pair.bed.faults.forgetFlows(pair.consumer.name);
  await eventually('an answer through the new flow', patience, () => ask());
  const is = await eventually('the provider to see the other endpoint', patience, async () => {
    const found = await endpoint();
    return found !== was && found;
  });
  log(`seen from ${was}, then from ${is}`);
  await scaled(5);
});

test('unpeering leaves nothing on either side', async () => {
  await unpeer();
});

test('the other way round: the provider behind the NAT, the consumer’s endpoint given', async () => {
  const { faults } = pair.bed;
  await faults.heal();
  await faults.firewall(pair.provider.name, { inbound: [], outbound: ['udp/7470'] });
  await faults.nat(pair.provider.name, { randomPorts: true });
  await faults.firewall(pair.consumer.name, { inbound: ['udp/7470'], outbound: [] });
  const slots = JSON.parse(
    await pair.consumer.kubectl(['get', 'localcluster', 'self', '-o', 'jsonpath={.status.slots}']),
  ) as { endpoints: string[] }[];
  assert.match(await peerInBand('--consumer-endpoint', slots[0]?.endpoints[0] ?? ''), /Ready/);
});

test('repair says what is out of date on both sides, and brings the peering back', async () => {
  // Both make their tunnel keys anew while they can't tell each other: neither knows whom to let in.
  const cut = await pair.bed.faults.partition(pair.consumer.name, pair.provider.name);
  const keyOf = (cluster: BedCluster) =>
    cluster.kubectl(['get', 'localcluster', 'self', '-o', 'jsonpath={.status.slots[0].publicKey}']);
  for (const cluster of [pair.consumer, pair.provider]) {
    const was = await keyOf(cluster);
    await cluster.kubectl(['delete', 'secret', '-n', namespace, 'hawser-slot-0']);
    await eventually(`another tunnel key in ${cluster.name}`, patience, async () => {
      const is = await keyOf(cluster);
      return is !== '' && is !== was;
    });
  }
  await eventually('the tunnel to be seen as broken', patience, async () => {
    const found = await condition(pair.consumer, `tunnel/${providerID}`, 'PathVerified');
    return found['status'] !== 'True';
  });
  await cut.remove();
  const { exitCode, stdout, stderr } = await runAnyway(peerCommand('repair', providerID), {
    timeoutMilliseconds: (patience * 2 + 60) * 1000,
  });
  assert.is(exitCode, 0, stderr);
  assert.match(stderr, /out of date at the consumer: tunnel key/);
  assert.match(stderr, /out of date at the provider: tunnel key/);
  assert.match(stdout, /Repaired/);
  const again = await runAnyway(peerCommand('repair', providerID), { timeoutMilliseconds: 200_000 });
  assert.match(again.stderr, /Nothing is out of date/);
});

test('and its end leaves both clusters as they were', async () => {
  await unpeer();
  await revokeLimited([pair.consumer, pair.provider]);
  for (const [index, cluster] of [pair.consumer, pair.provider].entries()) {
    await eventually(`nothing of the peering to be left in ${cluster.name}`, patience, async () => {
      const difference = inventoryDifference(before[index] ?? [], await inventory(cluster)).filter(
        // The story itself has deleted one, for another to come.
        (line) => !/^[+-] pod\/(hawser-system\/)?hawser-gateway-/i.test(line),
      );
      if (difference.length > 0) throw new Error(difference.join(', '));
      return true;
    });
  }
});

/** The name of an offloaded pod, by asking it from a pod at home. */
const ask = (to = remote[0]?.ip ?? '', port = 8080) =>
  dial({
    from: { node: node(pair.consumer, local.node), ip: local.ip },
    host: to,
    port,
    protocol: 'http',
    request: 'hostname',
  });

const gatewayLabel = 'app.kubernetes.io/component=gateway';

async function refused(what: string, attempt: Promise<unknown>): Promise<void> {
  const answer = await attempt.then(
    () => 'an answer',
    () => 'none',
  );
  assert.is(answer, 'none', what);
}

/** Whether a pod gets a single byte of answer over TCP: servers of TLS say something to whoever speaks HTTP. */
async function answers(inNamespace: string, pod: string, host: string, port: string): Promise<boolean> {
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox timeout 4 /bin/busybox nc -w 3 ${host} ${port} 2> /dev/null | /bin/busybox wc -c`;
  const output = await pair.consumer.kubectl(
    ['exec', '-n', inNamespace, pod, '--', '/bin/busybox', 'sh', '-c', script],
    { timeoutMilliseconds: 30_000 },
  );
  if (!/^\d+$/.test(output.trim())) throw new Error(`nc in ${pod} said: ${output}`);
  return output.trim() !== '0';
}

/** Runs JavaScript in the consumer's controller, whose traffic alone is admitted to the provider's control plane. */
async function inController(script: string): Promise<string> {
  const output = await pair.consumer.kubectl(
    ['exec', '-n', namespace, 'deploy/hawser-controller', '--', '/usr/local/bin/node', '-e', script],
    { timeoutMilliseconds: 60_000 },
  );
  return output.trim();
}

/** Which of these accept a TCP connection. */
async function dialFromController(targets: readonly string[]): Promise<string[]> {
  const output = await inController(
    `const targets = ${JSON.stringify(targets)};
     const dial = (target) => new Promise((resolve) => {
       const cut = target.lastIndexOf(':');
       const socket = require('node:net').connect({ host: target.slice(0, cut), port: Number(target.slice(cut + 1)) });
       const end = (reached) => () => { socket.destroy(); resolve(reached); };
       socket.once('connect', end(true)); socket.once('error', end(false)); setTimeout(end(false), 10_000);
     });
     Promise.all(targets.map(dial)).then((reached) => {
       console.log(JSON.stringify(targets.filter((_, index) => reached[index]))); process.exit(0);
     });`,
  );
  return JSON.parse(output) as string[];
}

/** The offloaded Deployment, once it has so many ready pods: nothing of the control plane may be broken for it. */
async function scaled(replicas: number): Promise<void> {
  await pair.consumer.kubectl(['scale', '-n', story, 'deployment/remote', `--replicas=${replicas}`]);
  const found = await readyPods(pair.consumer, story, 'remote', replicas, patience);
  // The one that was there before comes first, and is the one that is asked.
  const [first] = remote;
  remote = [
    ...found.filter(({ name }) => name === first?.name),
    ...found.filter(({ name }) => name !== first?.name),
  ];
  await eventually('an answer from an offloaded pod', patience, () => ask());
}

/** What would be another if somebody had noticed: the pod that was there; and the node still takes pods. */
async function steadyState(): Promise<string> {
  await eventually('the virtual node to be Ready', patience, async () => {
    const ready = await condition(pair.consumer, `node/${remote[0]?.node ?? ''}`, 'Ready');
    return ready['status'] === 'True';
  });
  const here = await pods(pair.consumer, story, 'app=remote');
  const first = here.find(({ name }) => name === remote[0]?.name);
  return `${first?.uid}, ${first?.restarts} restarts`;
}

async function unpeer(): Promise<void> {
  if ((await pair.consumer.kubectl(['get', 'namespace', story, '--ignore-not-found'])) !== '') {
    await hawser(pair.consumer, ['unoffload', 'namespace', story]);
    await pair.consumer.kubectl(['delete', 'namespace', story, '--timeout=90s'], {
      timeoutMilliseconds: 100_000,
    });
  }
  await hawser(pair.consumer, ['unpeer', await outgoingPeeringOf(pair.consumer)]);
  for (const cluster of [pair.consumer, pair.provider]) {
    await eventually(`no remote and no tunnel in ${cluster.name}`, patience, async () => {
      const left = await cluster.kubectl(['get', 'remoteclusters,tunnels,incomingpeerings', '-o', 'name']);
      return left.trim() === '';
    });
  }
}

test.run();
