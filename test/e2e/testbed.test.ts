/** The testbed itself: the properties that other tests rely on, and that it leaves nothing behind. */
import { readFile, readdir, stat } from 'node:fs/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { agnhostImage, down, up, upControlPlane } from '../testbed/index.ts';
import type { Bed, BedCluster, BedNode } from '../testbed/index.ts';
import { hostLinkName, namespacePrefix } from '../testbed/plan.ts';
import { isAlive } from '../testbed/processes.ts';
import type { ProcessId } from '../testbed/processes.ts';
import { run, runAnyway, sleep, waitFor } from '../testbed/run.ts';
import { bedDirectory, bedNames } from '../testbed/state.ts';
import { bedProcesses } from '../testbed/teardown.ts';

const name = 'bed-test';
const secondName = 'bed-test-two';
let bed: Bed;
let one: BedCluster;
let two: BedCluster;
let before: Map<string, Set<string>>;

/** The parts of the machine's state that a testbed could change, by kind. */
async function snapshot(): Promise<Map<string, Set<string>>> {
  const lines = async (command: string[]) =>
    new Set((await run(command)).split('\n').map((line) => line.trim()));
  const cgroups = await run(['find', '/sys/fs/cgroup', '-mindepth', '2', '-type', 'd']);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const list = async (directory: string) => new Set(await readdir(directory).catch(() => []));
  return new Map([
    ['namespaces', await lines(['ip', 'netns', 'list'])],
    ['links', new Set((await run(['ip', '-o', 'link'])).split('\n').map((line) => line.split(':')[1] ?? ''))],
    ['addresses', await lines(['ip', '-o', 'addr'])],
    ['routes', await lines(['ip', 'route', 'show', 'table', 'all'])],
    ['policy rules', await lines(['ip', 'rule'])],
    ['nft rules', await lines(['nft', 'list', 'ruleset'])],
    ['mounts', new Set(mounts.split('\n').map((line) => line.split(' ').slice(3, 5).join(' ')))],
    ['cgroups', new Set(cgroups.split('\n'))],
    ['pod networks', await list('/var/lib/cni/networks')],
    ['pod network results', await list('/var/lib/cni/results')],
    ['container logs', await list('/var/log/containers')],
    ['sockets of shims', await list('/run/containerd/s')],
    ['beds', new Set(await bedNames())],
  ]);
}

/** Runs JavaScript in a node's network namespace, with the machine's own programs; returns its answer as JSON. */
async function onNode<T>(node: BedNode, script: string): Promise<T> {
  const text = await node.exec([process.execPath, '--input-type=module', '-e', script], {
    timeoutMilliseconds: 60_000,
  });
  return JSON.parse(text) as T;
}

/** Milliseconds until a TCP connection is open, or −1 if it isn't within three seconds. */
function connect(node: BedNode, address: string, port: number): Promise<number> {
  return onNode(
    node,
    `import { connect } from 'node:net';
     const begun = performance.now();
     const socket = connect({ host: '${address}', port: ${port}, timeout: 3000 });
     const answer = (value) => { console.log(value); process.exit(0); };
     socket.on('connect', () => answer(performance.now() - begun));
     socket.on('timeout', () => answer(-1));
     socket.on('error', () => answer(-1));`,
  );
}

/** Sends numbered datagrams to netexec's UDP server, which answers each "echo" with it; returns the answers. */
function echo(node: BedNode, address: string, port: number, count: number, size = 0): Promise<string[]> {
  return onNode(
    node,
    `import { createSocket } from 'node:dgram';
     const socket = createSocket('udp4');
     const answers = [];
     socket.on('message', (message) => answers.push(message.toString().trim()));
     for (let i = 0; i < ${count}; i++) {
       socket.send('echo ' + String(i).padEnd(${size}, 'x'), ${port}, '${address}');
       await new Promise((resolve) => setTimeout(resolve, 2));
     }
     await new Promise((resolve) => setTimeout(resolve, 1500));
     console.log(JSON.stringify(answers));
     process.exit(0);`,
  );
}

/** Sends an HTTP request from a pod, with the test image's own client. */
async function ask(cluster: BedCluster, pod: string, url: string): Promise<string> {
  const { host, pathname, search } = new URL(url);
  const [target = '', port = '80'] = host.split(':');
  const request = `GET ${pathname}${search} HTTP/1.0\\r\\nHost: ${host}\\r\\n\\r\\n`;
  const output = await cluster.kubectl(
    ['exec', pod, '--', 'sh', '-c', `printf '${request}' | timeout 5 nc ${target} ${port}`],
    { timeoutMilliseconds: 20_000 },
  );
  return output.slice(output.indexOf('\r\n\r\n') + 4);
}

const workload = (serviceType: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { app: web } } }
      containers:
        - name: web
          image: ${agnhostImage}
          args: [netexec, --http-port=8080, --udp-port=8081]
          readinessProbe: { httpGet: { path: /readyz, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  type: ${serviceType}
  selector: { app: web }
  ports:
    - { name: http, port: 80, targetPort: 8080 }
    - { name: echo, port: 81, targetPort: 8081, protocol: UDP }
`;

async function loadBalancerAddress(cluster: BedCluster): Promise<string> {
  return await waitFor(
    'an address for Service web',
    async () => {
      const path = 'jsonpath={.status.loadBalancer.ingress[0].ip}';
      return (await cluster.kubectl(['get', 'service', 'web', '-o', path])) || undefined;
    },
    { timeoutMilliseconds: 5_000 },
  );
}

test('a control plane alone serves in seconds, and ends with its owner', async () => {
  const script = `
    import { upControlPlane } from '${new URL('../testbed/index.ts', import.meta.url).href}';
    const plane = await upControlPlane({ name: 'orphan', controllerManager: true });
    const token = await plane.kubectl(['create', 'token', 'default']);
    console.log(JSON.stringify({ url: plane.url, directory: plane.directory, token: token.length }));
    process.kill(process.pid, 'SIGKILL');`;
  const begun = performance.now();
  const { stdout } = await runAnyway([process.execPath, '--input-type=module', '-e', script]);
  const seconds = (performance.now() - begun) / 1000;
  assert.ok(seconds < 30, `it took ${seconds} s`);
  const { url, directory, token } = JSON.parse(stdout) as { url: string; directory: string; token: number };
  assert.ok(token > 100);
  await waitFor(
    'its end',
    () =>
      fetch(url).then(
        () => false,
        () => true,
      ),
    { timeoutMilliseconds: 5_000 },
  );
  // The next one removes what the dead one left.
  await using plane = await upControlPlane({ name: 'next' });
  assert.match(await plane.kubectl(['get', '--raw', '/readyz']), 'ok');
  assert.is(await stat(directory).catch(() => 'absent'), 'absent');
});

test('up makes all nodes Ready in less than a minute', async () => {
  await down(name);
  await down(secondName);
  before = await snapshot();
  const begun = performance.now();
  bed = await up({ name, clusters: 2, nodes: 2, signal: AbortSignal.timeout(300_000) });
  const seconds = (performance.now() - begun) / 1000;
  assert.ok(seconds < 60, `it took ${seconds} s`);
  one = bed.cluster('c1');
  two = bed.cluster('c2');
  for (const cluster of bed.clusters) {
    const nodes = await cluster.kubectl(['get', 'nodes', '--no-headers']);
    assert.is(nodes.match(/ Ready /g)?.length, 2);
  }
});

test('a second up changes nothing', async () => {
  // Runtimes and plugins run briefly: processes that stay for three seconds are permanent.
  const seen = await bedProcesses(name, bedDirectory(name));
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const processesBefore = seen.filter(isAlive);
  assert.ok(processesBefore.length > 10);
  await up({ name, clusters: 2, nodes: 2, signal: AbortSignal.timeout(60_000) });
  assert.ok(processesBefore.every(isAlive));
  let refused = '';
  await up({ name, clusters: 3 }).catch((error: Error) => (refused = error.message));
  assert.match(refused, 'it has the clusters c1, c2, not c1, c2, c3');
});

test('pods resolve names, reach each other and Services over both nodes', async () => {
  for (const cluster of bed.clusters) {
    await cluster.kubectl(['apply', '-f', '-'], { input: workload('LoadBalancer') });
    await cluster.kubectl(['run', 'client', `--image=${agnhostImage}`, '--', 'pause']);
  }
  for (const cluster of bed.clusters) {
    await cluster.kubectl(['wait', '--for=condition=Available', 'deployment/web', '--timeout=60s']);
    await cluster.kubectl(['wait', '--for=condition=Ready', 'pod/client', '--timeout=60s']);
    const pods = await cluster.kubectl([
      'get',
      'pods',
      '-l',
      'app=web',
      '-o',
      'jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.spec.nodeName}{"\\n"}{end}',
    ]);
    const rows = pods
      .trim()
      .split('\n')
      .map((row) => row.split(' '));
    assert.is(new Set(rows.map((row) => row[2])).size, 2);
    for (const [pod, address] of rows)
      assert.is(await ask(cluster, 'client', `http://${address}:8080/hostname`), pod);
    const seen = new Set<string>();
    for (let round = 0; round < 12; round++) seen.add(await ask(cluster, 'client', 'http://web/hostname'));
    assert.equal(seen, new Set(rows.map(([pod]) => pod)));
    // The pod's own address arrives: pods of one cluster see each other untranslated.
    const own = await cluster.kubectl(['get', 'pod', 'client', '-o', 'jsonpath={.status.podIP}']);
    for (const [, address] of rows) {
      assert.match(await ask(cluster, 'client', `http://${address}:8080/clientip`), `${own}:`);
    }
  }
});

test('logs, exec and restarts work', async () => {
  assert.match(await one.kubectl(['logs', 'deployment/web']), 'Started HTTP server on port 8080');
  await one.kubectl(['exec', 'deployment/web', '--', 'sh', '-c', 'kill 1']).catch(() => undefined);
  await waitFor(
    'a restart of the container',
    async () => {
      const counts = await one.kubectl([
        'get',
        'pods',
        '-l',
        'app=web',
        '-o',
        'jsonpath={.items[*].status.containerStatuses[0].restartCount}',
      ]);
      return counts.includes('1');
    },
    { timeoutMilliseconds: 30_000 },
  );
  await one.kubectl(['wait', '--for=condition=Available', 'deployment/web', '--timeout=60s']);
});

test('admission works as on any cluster', async () => {
  await one.kubectl(['create', 'namespace', 'strict']);
  await one.kubectl(['label', 'namespace', 'strict', 'pod-security.kubernetes.io/enforce=restricted']);
  let refused = '';
  await one
    .kubectl(['run', 'root', '-n', 'strict', `--image=${agnhostImage}`])
    .catch((error: Error) => (refused = error.message));
  assert.match(refused, 'violates PodSecurity');
  const kubelet = `${one.plan.nodes[0]?.directory}/kubelet.kubeconfig`;
  const asNode = (args: string[]) =>
    run([
      'nsenter',
      `--net=/run/netns/${one.plan.controlPlaneNetns}`,
      bed.programs.kubectl,
      '--kubeconfig',
      kubelet,
      ...args,
    ]);
  assert.match(await asNode(['get', 'node', 'c1-n1']), 'c1-n1');
  await asNode(['label', 'node', 'c1-n2', 'a=b']).catch((error: Error) => (refused = error.message));
  assert.match(refused, /only its own Node object|is not allowed to modify node/);
  await asNode(['get', 'secrets', '-A']).catch((error: Error) => (refused = error.message));
  assert.match(refused, 'Forbidden');
});

test('a Service of type LoadBalancer is reached from another cluster, by TCP and UDP', async () => {
  const address = await loadBalancerAddress(one);
  assert.ok(one.plan.loadBalancerPool.includes(address));
  assert.match(await ask(two, 'client', `http://${address}/hostname`), 'web-');
  const [node] = two.nodes;
  assert.ok(node);
  assert.is((await echo(node, address, 81, 20)).length, 20);
  await one.kubectl(['patch', 'service', 'web', '-p', '{"spec":{"externalTrafficPolicy":"Local"}}']);
  await waitFor(
    'the source to be preserved',
    async () =>
      (await ask(two, 'client', `http://${address}/clientip`)).startsWith(`${two.wideAreaAddress}:`),
    { timeoutMilliseconds: 5_000 },
  );
});

test('a partition stops everything between two clusters, and ends', async () => {
  const address = await loadBalancerAddress(one);
  const [node] = two.nodes;
  assert.ok(node);
  const fault = await bed.faults.partition('c1', 'c2');
  assert.is(await connect(node, address, 80), -1);
  assert.is(await connect(node, one.wideAreaAddress, 6443), -1);
  assert.ok((await fault.dropped()) > 0);
  // This machine is not affected.
  await one.kubectl(['get', 'nodes', '--request-timeout=3s']);
  await fault.remove();
  assert.ok((await connect(node, address, 80)) >= 0);
});

test('loss, delay, reordering and duplication happen as configured', async () => {
  const address = await loadBalancerAddress(one);
  const [node] = two.nodes;
  assert.ok(node);
  {
    await using _fault = await bed.faults.drop({ between: ['c1', 'c2'], protocol: 'udp', percent: 20 });
    const answers = await echo(node, address, 81, 300);
    assert.ok(answers.length > 120 && answers.length < 270, `${answers.length} of 300 answered`);
  }
  const usual = await connect(node, address, 80);
  assert.ok(usual >= 0 && usual < 50, `${usual} ms`);
  {
    await using _fault = await bed.faults.impair('c2', { delayMilliseconds: 100 });
    const late = await connect(node, address, 80);
    assert.ok(late > 195 && late < 400, `${late} ms`);
    await bed.faults.impair('c2', { delayMilliseconds: 20, reorderPercent: 20, duplicatePercent: 10 });
    await sleep(200);
    const numbers = (await echo(node, address, 81, 300)).map(Number);
    assert.ok(new Set(numbers).size > 295, `${new Set(numbers).size} arrived`);
    assert.ok(numbers.length > 310, `${numbers.length} answers to 300`);
    assert.ok(numbers.some((each, index) => each < (numbers[index - 1] ?? -1)));
  }
  assert.ok((await connect(node, address, 80)) < 50);
});

test('a smaller MTU drops large packets, with or without an ICMP error', async () => {
  const address = await loadBalancerAddress(one);
  const [node] = two.nodes;
  assert.ok(node);
  const big = () => ask(two, 'client', `http://${address}/echo?msg=${'x'.repeat(4000)}`);
  {
    await using _fault = await bed.faults.mtu(1300);
    assert.ok((await big()).length >= 4000);
  }
  {
    // Less than before, since senders remember a path MTU for minutes.
    await using fault = await bed.faults.mtu(1200, { silent: true });
    let failed = false;
    await big().catch(() => (failed = true));
    assert.ok(failed);
    assert.ok((await fault.dropped()) > 0);
    assert.is((await echo(node, address, 81, 5)).length, 5);
  }
  assert.ok((await big()).length >= 4000);
});

test('a firewall admits only allowed packets', async () => {
  const address = await loadBalancerAddress(one);
  const [node] = two.nodes;
  assert.ok(node);
  await using fault = await bed.faults.firewall('c1', { inbound: ['udp/81'] });
  assert.is(await connect(node, address, 80), -1);
  assert.is(await connect(node, one.wideAreaAddress, 6443), -1);
  assert.is((await echo(node, address, 81, 5)).length, 5);
  assert.ok((await fault.dropped()) > 0);
  await one.kubectl(['get', 'nodes', '--request-timeout=3s']);
});

test('a NAT uses its own ports, and others after its state expired', async () => {
  const address = await loadBalancerAddress(one);
  const [node] = two.nodes;
  assert.ok(node);
  // netexec answers "clientip" with the address that it sees; the source is preserved, so that is the NAT's address.
  const seen = () =>
    onNode<string[]>(
      node,
      `import { createSocket } from 'node:dgram';
       const socket = createSocket('udp4');
       socket.bind(40123);
       socket.on('message', (message) => { console.log(JSON.stringify([message.toString()])); process.exit(0); });
       socket.send('clientip', 81, '${address}');
       setTimeout(() => { console.log('[]'); process.exit(0); }, 3000);`,
    );
  assert.equal(await seen(), [`${two.wideAreaAddress}:40123`]);
  await using _fault = await bed.faults.nat('c2', { randomPorts: true });
  const [first = ''] = await seen();
  assert.match(first, `${two.wideAreaAddress}:`);
  assert.is.not(first, `${two.wideAreaAddress}:40123`);
  assert.equal(await seen(), [first]);
  await bed.faults.forgetFlows('c2');
  assert.is.not((await seen())[0], first);
});

test('heal removes all remaining faults', async () => {
  const [node] = two.nodes;
  assert.ok(node);
  await bed.faults.partition('c1', 'c2');
  await bed.faults.impair('c1', { delayMilliseconds: 50 });
  await bed.faults.mtu(1280);
  await bed.faults.heal();
  const usual = await connect(node, one.wideAreaAddress, 6443);
  assert.ok(usual >= 0 && usual < 50, `${usual} ms`);
  assert.match((await two.nodes[0]?.exec(['ip', 'link', 'show', 'eth0'])) ?? '', 'mtu 1500');
});

test('up restarts killed processes', async () => {
  const victims = [
    'c1.etcd',
    'c1.kube-apiserver',
    'c1.c1-n1.containerd',
    'c2.c2-n2.kubelet',
    'load-balancer',
  ];
  for (const victim of victims) await bed.kill(victim);
  assert.equal((await bed.diedServices()).sort(), victims.toSorted());
  await up({ name, clusters: 2, nodes: 2, signal: AbortSignal.timeout(120_000) });
  assert.equal(await bed.diedServices(), []);
  const address = await loadBalancerAddress(one);
  await waitFor(
    'the workload',
    async () => (await ask(two, 'client', `http://${address}/hostname`)).startsWith('web-'),
    {
      timeoutMilliseconds: 60_000,
    },
  );
});

test('a second testbed runs beside the first, and its end does not affect the first', async () => {
  const second = await up({ name: secondName, clusters: 1, nodes: 1, signal: AbortSignal.timeout(120_000) });
  assert.is.not(second.plan.wideAreaCIDR, bed.plan.wideAreaCIDR);
  const processesOfFirst = await bedProcesses(name, bedDirectory(name));
  await second.down();
  assert.ok(processesOfFirst.every(isAlive));
  assert.equal(await bed.diedServices(), []);
  await one.kubectl(['get', 'nodes', '--request-timeout=3s']);
});

test('down after killing every process leaves nothing', async () => {
  const directory = bedDirectory(name);
  const processes: ProcessId[] = await bedProcesses(name, directory);
  assert.ok(processes.length > 30);
  await bed.faults.impair('c1', { delayMilliseconds: 1 });
  // Every second one, so that some lose the processes that they belong to.
  for (const [index, each] of processes.entries()) if (index % 2 === 0) process.kill(each.pid, 'SIGKILL');
  await bed.down();
  assert.equal(processes.filter(isAlive), []);
  assert.equal(await bedProcesses(name, directory), []);
  const after = await snapshot();
  // In continuous integration this testbed is alone; on a shared machine others change state meanwhile, so that only names of
  // this testbed can be checked.
  const alone = process.env['CI'] !== undefined;
  const marks = [
    namespacePrefix(name),
    namespacePrefix(secondName),
    hostLinkName(name),
    hostLinkName(secondName),
    directory,
    bed.plan.wideAreaCIDR.replace('.0/24', '.'),
    `/hawser-testbed/${name}`,
    `/hawser-testbed/${secondName}`,
  ];
  for (const [kind, lines] of after) {
    const fresh = [...lines].filter((line) => !before.get(kind)?.has(line));
    const left = alone ? fresh : fresh.filter((line) => marks.some((mark) => line.includes(mark)));
    assert.equal(left, [], `${kind} are left`);
  }
  await down(name);
});

test.run();
