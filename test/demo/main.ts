/**
 * `npm run demo`: two real clusters of two nodes with the same ranges, peered; the front end of the guestbook at home, its
 * back end at the provider. Exit code 0 only if every claim was checked. `--keep` leaves the clusters.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { down, up, type Bed, type BedCluster } from '../testbed/index.ts';
import { runAnyway, waitFor } from '../testbed/run.ts';
import { allowTokenIssuer, issueTokenByCurl } from './curl.ts';
import { install, makeImage, namespace, uninstall } from '../support/installation.ts';
import { inventory, inventoryDifference, type Inventory } from '../support/inventory.ts';
import { narrator, type Narrator, type StepContext } from './steps.ts';

const root = join(import.meta.dirname, '..', '..');
const app = 'shop';
const totalSteps = 12;

const help = `usage: npm run demo -- [--keep] [--name NAME]

Two real clusters on this machine, peered by Hawser. Needs Linux and root; the first run builds Kubernetes.

  --keep        leave the clusters up and peered, and print how to go on by hand
  --name NAME   name of the test bed (default: demo)
`;

interface Demo {
  bed: Bed;
  home: BedCluster;
  away: BedCluster;
  signal: AbortSignal;
  tell: Narrator;
  /** What was there before Hawser was installed, by cluster. */
  bare: Map<string, Inventory>;
}

/** Runs hawser against a cluster, as its administrator, and shows it; throws unless it ends with 0. */
async function show(
  demo: Demo,
  cluster: BedCluster,
  args: string[],
  more: { input?: string; quiet?: boolean } = {},
): Promise<string> {
  const result = await runAnyway([process.execPath, join(root, 'cli', 'main.ts'), ...args], {
    env: { KUBECONFIG: cluster.kubeconfig, NO_COLOR: '1' },
    timeoutMilliseconds: 180_000,
    signal: demo.signal,
    ...(more.input !== undefined && { input: more.input }),
  });
  const shown = `hawser ${args.join(' ')}`;
  const said = `${result.stderr}${result.stdout}`;
  if (!more.quiet) demo.tell.show(`${cluster.name}: ${shown}`, said);
  if (result.exitCode !== 0) throw new Error(`${shown} ended with ${result.exitCode}: ${said}`);
  return result.stdout;
}

const apply = (demo: Demo, cluster: BedCluster, file: string) =>
  cluster.kubectl(['apply', '-n', app, '-f', join(import.meta.dirname, file)], { signal: demo.signal });

interface PodFacts {
  metadata: { name: string; labels?: Record<string, string> };
  spec: { nodeName?: string };
  status: { podIP?: string; phase?: string; conditions?: { type: string; status: string }[] };
}

async function podsOf(demo: Demo, selector: string): Promise<PodFacts[]> {
  const text = await demo.home.kubectl(['get', 'pods', '-n', app, '-l', selector, '-o', 'json'], {
    signal: demo.signal,
  });
  return (JSON.parse(text) as { items: PodFacts[] }).items;
}

const isReady = (pod: PodFacts) =>
  pod.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;

/** Waits for the rollout of Deployments; says what the cluster says when it does not come. */
async function rolledOut(demo: Demo, step: StepContext, deployments: string[]): Promise<void> {
  for (const deployment of deployments) {
    step.progress(`waiting for ${deployment}`);
    try {
      await demo.home.kubectl(['rollout', 'status', '-n', app, `deployment/${deployment}`, '--timeout=90s'], {
        signal: demo.signal,
        timeoutMilliseconds: 100_000,
      });
    } catch (error) {
      const pods = await demo.home.kubectl(['describe', 'pods', '-n', app]).catch(() => '');
      throw new Error(`${deployment} is not rolled out; its pods:\n${pods.slice(-6000)}`, { cause: error });
    }
  }
}

/** Asks a Service from the client pod, by Kubernetes' own test program in it. */
async function askFromClient(demo: Demo, host: string, request: string): Promise<string> {
  const query = new URLSearchParams({ host, port: '80', protocol: 'http', request, tries: '1' });
  const path = `/api/v1/namespaces/${app}/pods/client:8080/proxy/dial?${query.toString()}`;
  const answer = JSON.parse(await demo.home.kubectl(['get', '--raw', path], { signal: demo.signal })) as {
    responses?: string[];
    errors?: string[];
  };
  const [response] = answer.responses ?? [];
  if (response === undefined || response === '') throw new Error((answer.errors ?? ['no answer']).join('; '));
  return response;
}

/** Waits until LocalCluster says that it is Ready, which an address of the gateway is part of. */
async function ready(cluster: BedCluster, signal: AbortSignal): Promise<void> {
  await waitFor(
    `LocalCluster self of ${cluster.name} to be Ready with an address of its gateway`,
    async () => {
      const { status } = JSON.parse(
        await cluster.kubectl(['get', 'localcluster', 'self', '-o', 'json'], { signal }),
      ) as {
        status?: { gatewayURL?: string; conditions?: { type: string; status: string; message: string }[] };
      };
      const condition = status?.conditions?.find(({ type }) => type === 'Ready');
      if (condition?.status !== 'True') throw new Error(condition?.message ?? 'no condition Ready yet');
      return status?.gatewayURL !== undefined;
    },
    { timeoutMilliseconds: 60_000, intervalMilliseconds: 200, signal },
  );
}

async function setUp(tell: Narrator, name: string, signal: AbortSignal): Promise<Demo> {
  let image = '';
  await tell.step('Build Hawser: engine, JavaScript, and one container image.', async (step) => {
    image = await makeImage((line) => step.progress(line));
  });
  let bed: Bed | undefined;
  await tell.step('Make two clusters of two nodes, with the same pod and Service ranges.', async (step) => {
    bed = await up({
      name,
      clusters: ['home', 'away'],
      nodes: 2,
      signal,
      log: (line) => step.progress(line),
    });
    const [one, two] = bed.clusters;
    step.claim(
      'both clusters have the same ranges',
      one?.podCIDR === two?.podCIDR && one?.serviceCIDR === two?.serviceCIDR,
    );
    return `pods ${one?.podCIDR ?? ''}, Services ${one?.serviceCIDR ?? ''} in both.`;
  });
  if (bed === undefined) throw new Error('there is no bed');
  const demo: Demo = {
    bed,
    home: bed.cluster('home'),
    away: bed.cluster('away'),
    signal,
    tell,
    bare: new Map(),
  };
  await tell.step('Install Hawser in both, from its image and its chart.', async (step) => {
    for (const cluster of demo.bed.clusters) demo.bare.set(cluster.name, await inventory(cluster));
    step.progress('loading the image into four nodes');
    await demo.bed.loadImage(image);
    await Promise.all(
      [demo.home, demo.away].map(async (cluster) => {
        await install(demo.bed, cluster, { signal });
        await ready(cluster, signal);
        step.progress(`${cluster.name} is installed`);
      }),
    );
    await allowTokenIssuer(demo.away, signal);
  });
  return demo;
}

async function peerAndOffload(demo: Demo): Promise<void> {
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
    step.claim('the provider is a node of the consumer', out.includes('is the node'));
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

async function askGuestbook(demo: Demo): Promise<void> {
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

async function lookAround(demo: Demo): Promise<void> {
  const { tell, home, signal } = demo;
  await tell.step('Look at it: hawser status, nodes and pods.', async (step) => {
    await show(demo, home, ['status']);
    const report = JSON.parse(await show(demo, home, ['status', '-o', 'json'], { quiet: true })) as {
      peerings: { name: string; ready: boolean }[];
    };
    const [peering] = report.peerings;
    if (peering !== undefined) await show(demo, home, ['status', peering.name]);
    step.claim('the peering is Ready', report.peerings.length === 1 && peering?.ready === true);
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

async function endIt(demo: Demo, before: Map<string, Inventory>): Promise<void> {
  const { tell, home, away, signal } = demo;
  await tell.step('End the peering: one command at the consumer.', async (step) => {
    const report = JSON.parse(await show(demo, home, ['status', '-o', 'json'], { quiet: true })) as {
      peerings: { name: string }[];
    };
    const out = await show(demo, home, ['unpeer', report.peerings[0]?.name ?? '']);
    step.claim('"Removed" is said', out.includes('Removed'));
    await rolledOut(demo, step, ['agnhost-primary', 'agnhost-replica']);
    const pods = (await podsOf(demo, 'app=agnhost')).filter(isReady);
    step.claim(
      'the back end is home again and runs',
      pods.length === 3 && pods.every(({ spec }) => home.nodes.some(({ name }) => name === spec.nodeName)),
    );
  });
  await tell.step(
    'Prove that nothing is left: every object and every node, against before.',
    async (step) => {
      await home.kubectl(['delete', 'namespace', app, '--timeout=60s'], {
        signal,
        timeoutMilliseconds: 70_000,
      });
      await Promise.all(
        [home, away].map((cluster) => asItWas(step, cluster, before.get(cluster.name) ?? [], signal)),
      );
    },
  );
  await tell.step(
    'Uninstall Hawser from both, and prove the same against the bare clusters.',
    async (step) => {
      const more = { signal, timeoutMilliseconds: 70_000 };
      await Promise.all(
        [home, away].map(async (cluster) => {
          await uninstall(demo.bed, cluster, signal);
          await cluster.kubectl(['delete', 'namespace', namespace, '--timeout=60s'], more);
          const crds = ['crd', '-l', 'app.kubernetes.io/part-of=hawser'];
          await cluster.kubectl(['delete', ...crds, '--timeout=60s'], more);
          await asItWas(step, cluster, demo.bare.get(cluster.name) ?? [], signal);
        }),
      );
    },
  );
}

/** Claims that a cluster and its nodes hold what they held, no more and no less; gives it half a minute to be so. */
async function asItWas(
  step: StepContext,
  cluster: BedCluster,
  was: Inventory,
  signal: AbortSignal,
): Promise<void> {
  let last = ['nothing was looked at'];
  await waitFor(
    `${cluster.name} to be as it was`,
    async () => {
      last = inventoryDifference(was, await inventory(cluster));
      return last.length === 0;
    },
    { timeoutMilliseconds: 30_000, intervalMilliseconds: 500, signal },
  ).catch(() => undefined);
  step.claim(
    `${cluster.name} is as it was: ${was.length} objects and facts of its nodes`,
    last.length === 0,
    last.join('; '),
  );
}

async function main(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        keep: { type: 'boolean', default: false },
        name: { type: 'string', default: 'demo' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${help}`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => stop.abort(new Error(`got ${name}`)));
  const tell = narrator(process.stdout, totalSteps);
  const begun = performance.now();
  let demo: Demo | undefined;
  let exitCode = 1;
  try {
    demo = await setUp(tell, values.name, stop.signal);
    const before = new Map<string, Inventory>();
    for (const cluster of [demo.home, demo.away]) before.set(cluster.name, await inventory(cluster));
    await peerAndOffload(demo);
    await askGuestbook(demo);
    await lookAround(demo);
    if (!values.keep) await endIt(demo, before);
    exitCode = 0;
  } catch (error) {
    process.stdout.write(`\n${(error as Error).message}\n`);
  }
  if (values.keep && demo !== undefined) {
    process.stdout.write(`
The clusters are kept. Go on by hand:
  npm run testbed -- shell home --name ${values.name}     # and: shell away
  KUBECONFIG=${demo.home.kubeconfig} npm run --silent hawser -- status
  npm run testbed -- down --name ${values.name}           # when you are done
`);
  } else await down(values.name).catch((error: Error) => process.stdout.write(`${error.message}\n`));
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  process.stdout.write(
    exitCode === 0
      ? `\nAll ${tell.checked} claims were checked, in ${seconds} s.\n`
      : `\nThe demo failed after ${seconds} s.\n`,
  );
  return exitCode;
}

process.exitCode = await main();
