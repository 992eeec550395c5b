/** The controller's wiring: API server, Lease, probes, features. It makes no decisions. */
import { hostname } from 'node:os';
import { defaultNamespace } from '../../shared/names.ts';
import { ports } from '../../shared/ports.ts';
import { runFabricController } from '../fabric/controller/index.ts';
import {
  createEvents,
  createInformers,
  createLog,
  levelOf,
  messageOf,
  runAsLeader,
  type ControllerContext,
  type Feature,
  type Informers,
  type KubeClient,
  type Log,
} from '../kube/index.ts';
import { linked, systemClock, type Clock } from '../../shared/time.ts';
import { runKubelet } from '../kubelet/index.ts';
import { runPeering } from '../peering/index.ts';
import { runReflection } from '../reflect/index.ts';
import { runTenant } from '../tenant/index.ts';
import { runVirtualNodes } from '../vnode/index.ts';
import { runPodWebhook } from '../vnode/webhook.ts';
import { createMetrics, serveProbes } from './metrics.ts';
import { apiServerOf, resolveName } from './resolve.ts';
import { packageVersion } from './version.ts';
import { connectKube } from '../clients/kubernetes/index.ts';
import { defaultConnection } from '../clients/kubernetes/kubeconfig.ts';

export interface ControllerOptions {
  kube: KubeClient;
  log: Log;
  environment: Record<string, string | undefined>;
  /** Features that run while this process leads, by name. */
  features: Readonly<Record<string, Feature>>;
  /** 0 disables the probes. */
  probePort: number;
  /** Default: the machine's clocks. */
  clock?: Clock;
}

const leaseName = 'hawser-controller';
/** How long an informer may be without contact before the process reports that it is not ready. */
const silenceMilliseconds = 300_000;

/** Features of the controller, in any order: they interact only through the API's objects. */
export const features: Readonly<Record<string, Feature>> = {
  peering: runPeering,
  tenant: runTenant,
  fabric: runFabricController,
  'virtual-nodes': (context, signal) => runVirtualNodes(context, signal),
  reflection: runReflection,
  kubelet: (context, signal) => runKubelet(context, signal),
  webhook: (context, signal) => runPodWebhook(context, signal),
};

/** Runs the controller of this pod until the signal is aborted or the lease is lost. */
export async function runControllerRole(signal: AbortSignal): Promise<void> {
  const environment = process.env;
  const log = createLog(levelOf(environment['LOG_LEVEL']), { fields: { role: 'controller' } });
  const kube = connectKube(await defaultConnection(environment));
  await runControllerWith({ kube, log, environment, features, probePort: ports.controllerMetrics }, signal);
  kube.close();
}

/** Like `runControllerRole`, with all dependencies as parameters. Rejects when a feature fails or the lease is lost. */
export async function runControllerWith(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const { kube, log, environment } = options;
  const metrics = createMetrics();
  const namespace = environment['HAWSER_NAMESPACE'] || defaultNamespace;
  const podName = environment['POD_NAME'] || hostname();
  using ending = linked(signal);
  let informers: Informers | undefined;
  const probes =
    options.probePort === 0
      ? Promise.resolve()
      : serveProbes(
          {
            port: options.probePort,
            notReady: () => notReady(informers),
            metrics: () => metrics.text(informers?.all() ?? [], informers !== undefined),
          },
          ending.signal,
        );
  const leading = runAsLeader(
    { kube, namespace, name: leaseName, identity: podName, log },
    async (leaderSignal) => {
      const made = createInformers(kube, { log }, leaderSignal);
      informers = made;
      const context: ControllerContext = {
        kube,
        namespace,
        podIP: environment['POD_IP'] ?? '',
        podName,
        nodeName: environment['NODE_NAME'] ?? '',
        clusterName: environment['HAWSER_CLUSTER_NAME'] || undefined,
        apiServer: apiServerOf(environment),
        resolve: resolveName,
        version: packageVersion(),
        clock: options.clock ?? systemClock,
        log,
        informer: (kind, informerOptions) => made.informer(kind, informerOptions),
        events: createEvents({ kube, component: 'hawser-controller', instance: podName, log }),
        metrics,
      };
      await runFeatures(options.features, context, leaderSignal);
      await context.events.flush(1000);
      await made.ended();
      informers = undefined;
      if (!signal.aborted) throw new Error('lost leadership; exiting so that the next leader starts clean');
    },
    ending.signal,
  );
  try {
    // The first failure ends all.
    await Promise.race([leading, probes.then(() => leading)]);
  } finally {
    ending.abort(new Error('the controller stops'));
    await Promise.allSettled([leading, probes]);
  }
}

/** Runs all features; when one fails or returns, the others are stopped. */
async function runFeatures(
  all: Readonly<Record<string, Feature>>,
  context: ControllerContext,
  signal: AbortSignal,
): Promise<void> {
  using ending = linked(signal);
  let failure: Error | undefined;
  await Promise.all(
    Object.entries(all).map(async ([name, feature]) => {
      try {
        await feature(context, ending.signal);
        if (!ending.signal.aborted) throw new Error('it returned before the process stopped');
      } catch (error) {
        if (ending.signal.aborted) return;
        failure = new Error(`the feature ${name} failed: ${messageOf(error)}`, { cause: error });
        context.log.error('a feature failed', {
          feature: name,
          error,
          stack: error instanceof Error ? error.stack : undefined,
        });
        ending.abort(failure);
      }
    }),
  );
  if (failure !== undefined) throw failure;
}

function notReady(informers: Informers | undefined): string | undefined {
  // A standby is ready, since it can take over.
  if (informers === undefined) return undefined;
  for (const informer of informers.all()) {
    if (!informer.hasSynced)
      return `waiting for the first list of ${informer.kind.plural}: ${informer.failure ?? 'in progress'}`;
    if (Date.now() - informer.contactedAt > silenceMilliseconds) {
      return `no message about ${informer.kind.plural} from the API server since ${new Date(informer.contactedAt).toISOString()}`;
    }
  }
  return undefined;
}
