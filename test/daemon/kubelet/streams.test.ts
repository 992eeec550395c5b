/** Logs, exec, attach and port-forward from the consumer's API server to a container of a real kubelet. */
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { request } from 'node:https';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { twinName } from '../../../shared/names.ts';
import { kind, type AnyObject, type Node, type Pod } from '../../../daemon/kube/index.ts';
import { runKubelet } from '../../../daemon/kubelet/index.ts';
import { runPodWebhook, runVirtualNodes } from '../../../daemon/vnode/index.ts';
import * as testbed from '../../testbed/index.ts';
import { freePort } from '../clusters.ts';
import { consumerID, meet, upPlanes, virtualNode, type Planes } from '../vnode/planes.ts';
import { eventually } from '../../support/eventually.ts';

const test = suite('streams into an offloaded pod');
let planes: Planes;
let kubeletPort: number;
const kubectl = (args: readonly string[], input?: string) =>
  planes.consumer.kubectl(args, input === undefined ? {} : { input });

test.before(async () => {
  planes = await upPlanes(testbed, `kubelet-${process.pid}`);
  const { context, kube } = planes.consumer;
  kubeletPort = await freePort();
  const webhookPort = await freePort();
  planes.started.push(
    runVirtualNodes(context, planes.signal, { kubeletPort }),
    runKubelet(context, planes.signal, { port: kubeletPort, host: '127.0.0.1' }),
    runPodWebhook(context, planes.signal, { port: webhookPort, url: `https://127.0.0.1:${webhookPort}` }),
  );
  await meet(planes);
  const create = (object: AnyObject) => kube.create(object, planes.signal);
  await create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  await create({
    apiVersion: 'hawser.dev/v1alpha1',
    kind: 'NamespaceOffloading',
    metadata: { name: 'offloading', namespace: 'shop' },
    spec: { podPlacement: 'Remote' },
  });
  await eventually('the twin', async () =>
    planes.provider.kube.get({ kind: kind.namespace, name: twinName('shop', consumerID) }, planes.signal),
  );
  await eventually('a service account', async () =>
    kube.get({ kind: kind.serviceAccount, namespace: 'shop', name: 'default' }, planes.signal),
  );
  await create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'main',
          image: testbed.agnhostImage,
          command: ['sh', '-c', 'echo hello from afar; /agnhost netexec --http-port=8080 & cat; sleep 3600'],
          stdin: true,
        },
      ],
    },
  });
  await eventually(
    'the container runs',
    async () => {
      const pod = await kube.get<Pod>({ kind: kind.pod, namespace: 'shop', name: 'web' }, planes.signal);
      return pod?.status?.containerStatuses?.[0]?.ready;
    },
    60_000,
  );
});
test.after(() => planes?.stop());

test('the API server trusts the certificate, which the cluster signed', async () => {
  await eventually('signed', async () => /hello/.test(await kubectl(['logs', '-n', 'shop', 'web'])), 20_000);
  const requests = await kubectl(['get', 'csr', '-o', 'name']);
  assert.is(requests.trim(), '', 'requests are removed when they have done their work');
});

test('logs pass with their options', async () => {
  assert.match(await kubectl(['logs', '-n', 'shop', 'web', '--tail=1', '--timestamps']), /^\d{4}-.*Z /);
  assert.is((await kubectl(['logs', '-n', 'shop', 'web', '--limit-bytes=5'])).length, 5);
  try {
    await kubectl(['logs', '-n', 'shop', 'web', '--previous']);
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /previous terminated container/);
  }
});

test('exec passes input, output and exit code', async () => {
  assert.is(await kubectl(['exec', '-n', 'shop', 'web', '--', 'echo', 'a b', '&c']), 'a b &c\n');
  assert.is(
    await kubectl(['exec', '-i', '-n', 'shop', 'web', '--', 'tr', 'a-z', 'A-Z'], 'through\n'),
    'THROUGH\n',
  );
  try {
    await kubectl(['exec', '-n', 'shop', 'web', '--', 'sh', '-c', 'exit 7']);
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), /exit code 7/);
  }
});

test('exec passes a megabyte in both directions', async () => {
  const much = 'x'.repeat(1 << 20);
  assert.is(await kubectl(['exec', '-i', '-n', 'shop', 'web', '--', 'cat'], much), much);
});

test('attach passes input', async () => {
  const child = spawn(planes.kubectl, ['attach', '-i', '-n', 'shop', 'web'], {
    env: { KUBECONFIG: planes.consumer.kubeconfig },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let seen = '';
  child.stdout.on('data', (chunk: Buffer) => (seen += chunk.toString()));
  child.stdin.write('echoed by cat\n');
  try {
    await eventually('the echo', () => Promise.resolve(seen.includes('echoed by cat')));
  } finally {
    child.kill();
  }
});

test('port-forward passes HTTP through two API servers', async () => {
  const port = await freePort();
  const child = spawn(planes.kubectl, ['port-forward', '-n', 'shop', 'pod/web', `${port}:8080`], {
    env: { KUBECONFIG: planes.consumer.kubeconfig },
    stdio: 'ignore',
  });
  try {
    const answer = await eventually('an answer', async () => {
      const said = await (await fetch(`http://127.0.0.1:${port}/echo?msg=here`)).text();
      return said === 'here' && said;
    });
    assert.is(answer, 'here');
  } finally {
    child.kill();
  }
});

const ask = (path: string, headers: Record<string, string> = {}) =>
  new Promise<{ status: number; body: string }>((resolve, reject) => {
    const asked = request(
      { host: '127.0.0.1', port: kubeletPort, path, headers, ca: planes.consumer.ca, agent: false },
      (answer) => {
        let body = '';
        answer.on('data', (chunk: Buffer) => (body += chunk.toString()));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
      },
    );
    asked.once('error', reject);
    asked.end();
  });
const tokenOf = async (account: string) => (await kubectl(['create', 'token', '-n', 'shop', account])).trim();

test('a request without valid credentials gets 401', async () => {
  assert.is((await ask('/pods')).status, 401);
  assert.is((await ask('/pods', { authorization: 'Bearer nonsense' })).status, 401);
  assert.is((await ask('/containerLogs/shop/web/main')).status, 401);
});

test('a user without rights on nodes gets 403, and one with get cannot exec', async () => {
  const token = await tokenOf('default');
  const headers = { authorization: `Bearer ${token}` };
  assert.is((await ask('/containerLogs/shop/web/main', headers)).status, 403);
  await kubectl(['create', 'clusterrole', 'looker', '--verb=get', '--resource=nodes/proxy']);
  await kubectl([
    'create',
    'clusterrolebinding',
    'looker',
    '--clusterrole=looker',
    '--serviceaccount=shop:looker',
  ]);
  await kubectl(['create', 'serviceaccount', '-n', 'shop', 'looker']);
  const looker = { authorization: `Bearer ${await tokenOf('looker')}` };
  const logs = await eventually('the right is known', async () => {
    const answer = await ask('/containerLogs/shop/web/main', looker);
    return answer.status === 200 && answer;
  });
  assert.match(logs.body, /hello from afar/);
  const pods = JSON.parse((await ask('/pods', looker)).body) as { items: Pod[] };
  assert.is(pods.items[0]?.metadata.name, 'web');
  const upgrade = { ...looker, connection: 'Upgrade', upgrade: 'websocket' };
  assert.is((await ask('/exec/shop/web/main?command=id&output=1', upgrade)).status, 403);
  assert.is((await ask('/exec/shop/web/main?command=id&output=1', looker)).status, 403);
  assert.is((await ask('/containerLogs/shop/other/main', looker)).status, 404);
  assert.is((await ask('/configz', looker)).status, 404);
});

test('non-TLS bytes and non-HTTP data do no harm', async () => {
  await new Promise<void>((resolve) => {
    const socket = connect(kubeletPort, '127.0.0.1', () => socket.end('GET / HTTP/1.1\r\n\r\n'));
    socket.once('close', () => resolve());
    socket.once('error', () => resolve());
  });
  assert.is((await ask('/pods')).status, 401);
});

test('the node’s status has the address of its kubelet API', async () => {
  const node = await planes.consumer.kube.get<Node>({ kind: kind.node, name: virtualNode }, planes.signal);
  assert.is(node?.status?.daemonEndpoints?.kubeletEndpoint?.Port, kubeletPort);
});

test.run();
