/** Two peered clusters, and the guestbook across both. */
import { waitFor } from '../testbed/run.ts';
import { issueTokenByCurl } from './curl.ts';
import {
  app,
  apply,
  askFromClient,
  isReady,
  podsOf,
  rolledOut,
  show,
  type Demo,
  type PodFacts,
} from './demo.ts';

export async function peerAndOffload(demo: Demo): Promise<void> {
  const { tell, home, away } = demo;
  let token = '';
  await tell.step(
    'Issue a peering token at the provider, by curl with a Kubernetes bearer token.',
    async (step) => {
      const issued = await issueTokenByCurl(away, demo.signal);
      tell.show(issued.command, issued.shown);
      token = issued.token;
      step.claim('the gateway answers 201 with one string', token.startsWith('hawser1.'));
    },
  );
  await tell.step('Peer: one command at the consumer.', async (step) => {
    const out = await show(demo, home, ['peer', '-'], { input: token });
    step.claim('the provider is a node of the consumer', out.includes('is available as node'));
    const nodes = await home.kubectl(['get', 'nodes', '-l', 'hawser.dev/virtual-node=true', '-o', 'json']);
    const { items } = JSON.parse(nodes) as { items: PodFacts[] };
    step.claim('and it is Ready', items.length === 1 && items.every(isReady));
  });
  await tell.step(
    'Offload a namespace, and deploy the back end of the guestbook, unmodified.',
    async (step) => {
      await home.kubectl(['create', 'namespace', app], { signal: demo.signal });
      await show(demo, home, ['offload', 'namespace', app, '--placement', 'Remote']);
      await apply(demo, home, 'guestbook-backend.yaml');
      await rolledOut(demo, step, ['agnhost-primary', 'agnhost-replica']);
      const pods = await podsOf(demo, 'app=agnhost');
      step.claim(
        'all three pods of the back end run at the provider',
        pods.length === 3 && pods.every(({ spec }) => spec.nodeName?.startsWith('hawser-') === true),
        JSON.stringify(pods.map(({ spec }) => spec.nodeName)),
      );
      step.claim(
        'their addresses are in no range of this cluster, since both have the same',
        pods.every(({ status }) => status.podIP !== undefined && !status.podIP.startsWith('10.244.')),
        JSON.stringify(pods.map(({ status }) => status.podIP)),
      );
    },
  );
}

export async function askGuestbook(demo: Demo): Promise<void> {
  const { tell, home } = demo;
  await tell.step(
    'Deploy the front end at home, and ask it from a pod on a node that is no gateway.',
    async (step) => {
      await show(demo, home, ['offload', 'namespace', app, '--placement', 'Local'], { quiet: true });
      await apply(demo, home, 'guestbook-frontend.yaml');
      const node = home.nodes[1]?.name ?? '';
      const client = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'client', namespace: app },
        spec: {
          nodeSelector: { 'kubernetes.io/hostname': node },
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'client',
              image: 'registry.k8s.io/e2e-test-images/agnhost:2.56',
              args: ['netexec', '--http-port=8080'],
              readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
            },
          ],
        },
      };
      await home.kubectl(['apply', '-f', '-'], { input: JSON.stringify(client), signal: demo.signal });
      await rolledOut(demo, step, ['frontend']);
      await home.kubectl(['wait', '-n', app, '--for=condition=Ready', 'pod/client', '--timeout=60s'], {
        signal: demo.signal,
        timeoutMilliseconds: 70_000,
      });
      const [front] = await podsOf(demo, 'app=guestbook');
      step.claim(
        'the front end runs at home',
        home.nodes.some(({ name }) => name === front?.spec.nodeName),
      );
      const entry = `hello-${Date.now()}`;
      const set = await askFromClient(demo, 'frontend', `guestbook?cmd=set&key=messages&value=${entry}`);
      step.claim('an entry is written through the front end into the back end', set.includes('Updated'), set);
      await waitFor(
        'the entry to be read from a replica',
        async () => (await askFromClient(demo, 'frontend', 'guestbook?cmd=get&key=messages')).includes(entry),
        { timeoutMilliseconds: 20_000, intervalMilliseconds: 200, signal: demo.signal },
      );
      step.claim('and read back from a replica, another pod at the provider', true);
    },
  );
}

export async function lookAround(demo: Demo): Promise<void> {
  const { tell, home, signal } = demo;
  await tell.step('Look at it: hawser status, nodes and pods.', async (step) => {
    await show(demo, home, ['status']);
    const report = JSON.parse(await show(demo, home, ['status', '-o', 'json'], { quiet: true })) as {
      peerings: { name: string; ready: boolean }[];
    };
    const [peering] = report.peerings;
    if (peering !== undefined) await show(demo, home, ['status', peering.name]);
    step.claim(
      'both peerings are Ready',
      report.peerings.length === 2 && report.peerings.every(({ ready }) => ready),
    );
    for (const args of [
      ['get', 'nodes', '-o', 'wide'],
      ['get', 'pods', '-n', app, '-o', 'wide'],
    ]) {
      tell.show(`kubectl ${args.join(' ')}`, await home.kubectl(args, { signal }));
    }
  });
  await tell.step('Logs of an offloaded pod, and a command in it, by kubectl as ever.', async (step) => {
    const [primary] = await podsOf(demo, 'app=agnhost,role=primary');
    const name = primary?.metadata.name ?? '';
    const logs = await home.kubectl(['logs', '-n', app, name, '--tail=3'], { signal });
    tell.show(`kubectl logs -n ${app} ${name} --tail=3`, logs);
    step.claim('the log is there', logs.trim() !== '');
    const hostname = await home.kubectl(['exec', '-n', app, name, '--', 'hostname'], { signal });
    tell.show(`kubectl exec -n ${app} ${name} -- hostname`, hostname);
    step.claim('the command ran in that pod', hostname.trim() === name, hostname);
  });
}
