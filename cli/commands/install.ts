import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { LocalCluster } from '../../shared/api/clusters.ts';
import { findCondition } from '../../shared/conditions.ts';
import { labels } from '../../shared/names.ts';
import { clusterOptions, text, texts, timeoutOption, type Command, type Invocation } from '../command.ts';
import { CommandError, UsageError } from '../exit.ts';
import { readFacts } from '../install/facts.ts';
import { runHelm } from '../install/helm.ts';
import { planInstall, providers, type InstallPlan, type Provider } from '../install/plan.ts';
import { core, hawser, withKube, type Kube } from '../kube.ts';
import { timeoutOf, waitUntil } from '../wait.ts';

const defaultSeconds = 300;
const release = 'hawser';
const privileged = { 'pod-security.kubernetes.io/enforce': 'privileged' };

/** Beside the sources; the built command has none. */
function chartOf(invocation: Invocation): string {
  const given = text(invocation, 'chart');
  if (given !== undefined) return given;
  const beside = fileURLToPath(new URL('../../deploy/chart', import.meta.url));
  if (existsSync(beside)) return beside;
  throw new UsageError(
    'the chart is not beside this command; name it with --chart (deploy/chart in the repository)',
  );
}

function providerOption(invocation: Invocation): Provider | undefined {
  const given = text(invocation, 'provider');
  const provider = providers.find((each) => each === given);
  if (given !== undefined && provider === undefined)
    throw new UsageError(`--provider ${given}: unknown; there are: ${providers.join(', ')}`);
  return provider;
}

function helmArguments(invocation: Invocation, kube: Kube, chart: string): string[] {
  const context = text(invocation, 'context');
  const kubeconfig = text(invocation, 'kubeconfig');
  return [
    'upgrade',
    '--install',
    release,
    chart,
    '--namespace',
    kube.namespace,
    ...(context === undefined ? [] : ['--kube-context', context]),
    ...(kubeconfig === undefined ? [] : ['--kubeconfig', kubeconfig]),
    ...texts(invocation, 'set').flatMap((each) => ['--set', each]),
  ];
}

function show({ terminal }: Invocation, { findings }: InstallPlan): void {
  const width = Math.max(...findings.map(({ what }) => what.length));
  for (const { what, found, follows, attention } of findings) {
    terminal.print(`${terminal.mark(attention ? 'warning' : 'done')} ${what.padEnd(width)}  ${found}`);
    if (follows !== undefined) terminal.print(`  ${' '.repeat(width)}  → ${follows}`);
  }
}

/** Safe in a shell without quotes, or in single quotes. */
const shellWord = (word: string): string =>
  /^[A-Za-z0-9_./:=@,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

function printCommands(
  { terminal }: Invocation,
  kube: Kube,
  plan: InstallPlan,
  args: readonly string[],
): void {
  const { namespace } = kube;
  const [key, value] = Object.entries(privileged)[0] ?? [];
  terminal.print(
    [
      `kubectl create namespace ${namespace}`,
      `kubectl label namespace ${namespace} ${key}=${value}`,
      ...plan.gatewayNodes.map((node) => `kubectl label node ${node} ${labels.gatewayNode}=true --overwrite`),
      `helm ${args.map(shellWord).join(' ')} --wait --values - <<'END'`,
      JSON.stringify(plan.values, null, 2),
      'END',
    ].join('\n'),
  );
}

async function prepare(invocation: Invocation, kube: Kube, plan: InstallPlan): Promise<void> {
  await kube.apply(core('namespaces'), {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: kube.namespace, labels: privileged },
  });
  for (const name of plan.gatewayNodes)
    await kube.patch(core('nodes'), name, { metadata: { labels: { [labels.gatewayNode]: 'true' } } });
}

/** Shows the state that the cluster reports after the controller's first reconciliation. */
async function describe(invocation: Invocation, kube: Kube): Promise<void> {
  const { terminal } = invocation;
  const advice = 'See what it waits for with: hawser doctor';
  const local = await waitUntil(invocation, { seconds: 60, advice }, async () => {
    const self = await kube.get<LocalCluster>(hawser('localclusters'), 'self');
    return findCondition(self?.status?.conditions, 'Ready') === undefined || self === undefined
      ? { waitingFor: 'the controller to describe this cluster' }
      : { done: self };
  });
  const { status } = local;
  terminal.print(
    `Cluster ${status?.clusterID ?? ''}: pods ${(status?.podCIDRs ?? []).join(', ')}, Services ${(status?.serviceCIDRs ?? []).join(', ')}, external CIDR ${status?.externalCIDR ?? ''}`,
  );
  const ready = findCondition(status?.conditions, 'Ready');
  terminal.print(`${terminal.mark(ready?.status === 'True' ? 'done' : 'warning')} ${ready?.message ?? ''}`);
  terminal.print('Next, at the provider: hawser token create. Then, at the consumer: hawser peer TOKEN');
}

async function install(invocation: Invocation, kube: Kube): Promise<void> {
  const { terminal, environment, signal } = invocation;
  const provider = providerOption(invocation);
  const name = text(invocation, 'name');
  const chart = chartOf(invocation);
  const facts = await readFacts(kube, await kube.server());
  const plan = planInstall(facts, {
    ...(provider !== undefined && { provider }),
    ...(name !== undefined && { name }),
  });
  const args = helmArguments(invocation, kube, chart);
  if (invocation.options['print'] === true) return printCommands(invocation, kube, plan, args);
  show(invocation, plan);
  const seconds = timeoutOf(invocation, defaultSeconds);
  const startedAt = invocation.now();
  await prepare(invocation, kube, plan);
  terminal.progress('Helm installs the chart');
  const waiting = seconds === 0 ? [] : ['--wait', '--timeout', `${seconds}s`];
  await runHelm({
    args: [...args, ...waiting, '--values', '-'],
    values: JSON.stringify(plan.values),
    environment,
    signal,
  }).catch((error: unknown) => {
    if (error instanceof CommandError && /timed out|deadline/.test(error.message))
      throw new CommandError(
        `${error.message}\nWhat was made stays there. See why pods do not start: kubectl get pods -n ${kube.namespace}; then run this command again`,
        undefined,
        { cause: error },
      );
    throw error;
  });
  terminal.step('done', `installed in namespace ${kube.namespace}`, invocation.now() - startedAt);
  if (seconds > 0) await describe(invocation, kube);
}

export const command: Command = {
  name: 'install',
  summary: 'install Hawser in a cluster with Helm',
  description: `Looks at the cluster (provider, network, load balancer, nodes, address of the API server), prints what it found and
which values of the chart follow, labels the namespace and gateway nodes, and runs "helm upgrade --install". Asks nothing,
and can be repeated: values that you give with --set take precedence. With --print it changes nothing and prints the commands.`,
  options: {
    provider: {
      type: 'string',
      value: 'NAME',
      help: `kind of cluster (default: detected): ${providers.join(', ')}`,
    },
    name: { type: 'string', value: 'NAME', help: 'readable beginning of the cluster ID (default: cluster)' },
    set: {
      type: 'string',
      multiple: true,
      value: 'KEY=VALUE',
      help: 'value of the chart, as for helm; can be repeated',
    },
    chart: {
      type: 'string',
      value: 'CHART',
      help: 'directory, archive or URL of the chart (default: deploy/chart beside the command)',
    },
    print: { type: 'boolean', help: 'print the commands and run none of them' },
    ...timeoutOption(defaultSeconds),
    ...clusterOptions,
  },
  examples: [
    ['Install in the current context', 'hawser install --name home'],
    ['See what would be done', 'hawser install --print'],
    [
      'Install an image of your own registry',
      'hawser install --set image.repository=registry.example/hawser',
    ],
  ],
  run: (invocation) => withKube(invocation, (kube) => install(invocation, kube)),
};
