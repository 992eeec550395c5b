/** `hawser install` with the real Helm, on a real API server. */
import { dirname } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { upControlPlane, type ControlPlane } from '../testbed/index.ts';
import { ensurePrograms } from '../testbed/programs.ts';
import { hawser } from './run-cli.ts';

const server = suite('hawser install on an API server');
let plane: ControlPlane;
let environment: Record<string, string | undefined>;

server.before(async () => {
  plane = await upControlPlane({ name: 'install' });
  const { helm } = await ensurePrograms({ only: ['helm'] });
  environment = {
    ...process.env,
    KUBECONFIG: plane.kubeconfig,
    PATH: `${dirname(helm)}:${process.env['PATH']}`,
  };
  await plane.kubectl(['apply', '-f', '-'], {
    input: JSON.stringify({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: 'n1', labels: { 'kubernetes.io/os': 'linux' } },
      spec: { providerID: 'kind://docker/elm/n1' },
    }),
  });
  await plane.kubectl([
    'patch',
    'node',
    'n1',
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify({
      status: {
        conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }],
        addresses: [{ type: 'InternalIP', address: '192.0.2.7' }],
      },
    }),
  ]);
});
server.after(() => plane.stop());

const read = async (...args: string[]) => (await plane.kubectl(args)).trim();

server('--print shows the commands and changes nothing', async () => {
  const { exitCode, stdout } = await hawser(['install', '--name', 'elm', '--print'], { environment });
  assert.is(exitCode, 0);
  assert.match(stdout, /kubectl label node n1 hawser\.dev\/gateway=true/);
  assert.match(
    stdout,
    /helm upgrade --install hawser .*deploy\/chart --namespace hawser-system --wait --values - <<'END'/,
  );
  assert.is(await read('get', 'namespaces', 'hawser-system', '--ignore-not-found', '-o', 'name'), '');
});

server('the command installs with what it detected, and can be repeated', async () => {
  for (const round of ['first', 'second']) {
    const { exitCode, stdout, stderr } = await hawser(['install', '--name', 'elm', '--timeout', '0'], {
      environment,
    });
    assert.is(exitCode, 0, `${round}: ${stderr}`);
    assert.match(stdout, /load balancer +none was found/);
  }
  assert.match(
    await read('get', 'namespace', 'hawser-system', '--show-labels'),
    /pod-security\.kubernetes\.io\/enforce=privileged/,
  );
  assert.match(await read('get', 'node', 'n1', '--show-labels'), /hawser\.dev\/gateway=true/);
  const jsonpath = '-o=jsonpath={.spec.ports[0].nodePort} {.spec.externalTrafficPolicy}';
  assert.is(await read('get', 'service', 'hawser-gateway', '-n', 'hawser-system', jsonpath), '30743 Cluster');
  const spec = '-o=jsonpath={.spec.gatewayURL} {.spec.tunnelAddresses[0]}';
  assert.is(await read('get', 'localcluster', 'self', spec), 'https://192.0.2.7:30743 192.0.2.7:7470');
});

server('values of --set take precedence over detected ones', async () => {
  const set = [
    '--set',
    'gateway.service.nodePort=30800',
    '--set',
    'cluster.gatewayURL=https://203.0.113.7:30800',
  ];
  const { exitCode, stderr } = await hawser(['install', '--timeout', '0', ...set], { environment });
  assert.is(exitCode, 0, stderr);
  const spec = '-o=jsonpath={.spec.gatewayURL}';
  assert.is(await read('get', 'localcluster', 'self', spec), 'https://203.0.113.7:30800');
});

server('errors of Helm are shown, and a missing Helm is named', async () => {
  const refused = await hawser(['install', '--timeout', '0', '--set', 'gateway.service.type=Pigeon'], {
    environment,
  });
  assert.is(refused.exitCode, 1);
  assert.match(refused.stderr, /helm ended with exit code 1: .*(type|Pigeon)/s);
  const missing = await hawser(['install', '--timeout', '0'], {
    environment: { ...environment, PATH: '/nowhere' },
  });
  assert.is(missing.exitCode, 1);
  assert.match(missing.stderr, /helm was not found in PATH; install Helm/);
});

server('an unknown provider and a missing chart are refused before any change', async () => {
  const unknown = await hawser(['install', '--provider', 'moon'], { environment });
  assert.is(unknown.exitCode, 2);
  assert.match(unknown.stderr, /--provider moon: unknown; there are: kind, k3s/);
});

server.run();
