/** A third cluster of which only the tunnel can be reached, and a back end that expands into it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../testbed/run.ts';
import { limitedKubeconfig, revokeLimited } from '../support/limited-access.ts';
import { app, isReady, podsOf, rolledOut, show, type Demo, type PodFacts } from './demo.ts';

/** The tunnel's port, the only one open at the third cluster. */
const tunnelPort = 'udp/7470';

export async function peerInBand(demo: Demo): Promise<void> {
  const { tell, bed, home, far, signal } = demo;
  await tell.step(
    'Close a third cluster but for its tunnel’s UDP port, and peer with it in-band, with limited rights on both sides.',
    async (step) => {
      await bed.faults.firewall(far.name, { inbound: [tunnelPort], outbound: [] });
      const { status } = JSON.parse(
        await far.kubectl(['get', 'localcluster', 'self', '-o', 'json'], { signal }),
      ) as { status: { gatewayURL: string } };
      const refused = await home.nodes[1]
        ?.exec(['curl', '-k', '-sS', '-m', '3', `${status.gatewayURL}/v1/info`])
        .then(() => undefined)
        .catch((error: Error) => error.message);
      step.claim('neither its gateway nor its API server can be reached from home', refused !== undefined);
      const directory = await mkdtemp(join(tmpdir(), 'hawser-demo-'));
      try {
        const kubeconfig = join(directory, 'limited.kubeconfig');
        await limitedKubeconfig(kubeconfig, [
          [home, 'hawser-peer-consumer'],
          [far, 'hawser-peer-provider'],
        ]);
        const args = ['peer', '--in-band', '--remote-context', far.name, '--cpu', '2', '--memory', '2Gi'];
        const out = await show(demo, home, args, { kubeconfig });
        step.claim('the third cluster is a node of home too', out.includes('is available as node'));
      } finally {
        await rm(directory, { recursive: true, force: true });
        await revokeLimited([home, far]);
      }
      const nodes = JSON.parse(
        await home.kubectl(['get', 'nodes', '-l', 'hawser.dev/virtual-node=true', '-o', 'json'], { signal }),
      ) as { items: PodFacts[] };
      step.claim('both providers are Ready', nodes.items.length === 2 && nodes.items.every(isReady));
    },
  );
}

export async function growIntoThird(demo: Demo): Promise<void> {
  const { tell, home, signal } = demo;
  await tell.step(
    'Let the back end grow: the first provider is cordoned, so the next replica runs at the other one, and finds its primary by way of home.',
    async (step) => {
      const [before] = await podsOf(demo, 'app=agnhost,role=primary');
      const first = before?.spec.nodeName ?? '';
      const { metadata } = JSON.parse(
        await home.kubectl(['get', 'node', first, '-o', 'json'], { signal }),
      ) as {
        metadata: { labels: Record<string, string> };
      };
      const provider = metadata.labels['hawser.dev/remote-cluster'] ?? '';
      await show(demo, home, ['cordon', provider]);
      await show(demo, home, ['offload', 'namespace', app, '--placement', 'Remote'], { quiet: true });
      await home.kubectl(['scale', '-n', app, 'deployment/agnhost-replica', '--replicas=3'], { signal });
      await rolledOut(demo, step, ['agnhost-replica']);
      const replicas = await podsOf(demo, 'app=agnhost,role=replica');
      const there = replicas.find(({ spec }) => spec.nodeName !== first);
      step.claim(
        'the new replica runs at the second provider',
        replicas.length === 3 && there?.spec.nodeName?.startsWith('hawser-') === true,
        JSON.stringify(replicas.map(({ spec }) => spec.nodeName)),
      );
      await waitFor(
        'the entry to be read from the new replica',
        async () => {
          const query = new URLSearchParams({
            host: there?.status.podIP ?? '',
            port: '6379',
            protocol: 'http',
            request: 'get?key=messages',
            tries: '1',
          });
          const path = `/api/v1/namespaces/${app}/pods/client:8080/proxy/dial?${query.toString()}`;
          return (await home.kubectl(['get', '--raw', path], { signal })).includes('hello-');
        },
        { timeoutMilliseconds: 30_000, intervalMilliseconds: 300, signal },
      );
      step.claim(
        'and has the entry from its primary at the first: from provider to provider, by way of home',
        true,
      );
      await show(demo, home, ['activate', provider], { quiet: true });
      await show(demo, home, ['offload', 'namespace', app, '--placement', 'Local'], { quiet: true });
    },
  );
}
