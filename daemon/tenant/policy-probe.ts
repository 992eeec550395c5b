/**
 * Probes whether this cluster's CNI enforces network policies, since Kubernetes accepts them without reporting whether they
 * have an effect. The chart's policy of the API gateway denies the controller access to one of its two ports.
 */
import { Socket } from 'node:net';
import { findCondition, type Finding } from '../../shared/conditions.ts';
import { ports } from '../../shared/ports.ts';
import { backoff, sleep } from '../../shared/time.ts';
import type { ControllerContext } from '../kube/context.ts';
import { messageOf } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';

const fieldManager = 'hawser-policies';
/** Name of the chart's NetworkPolicy. */
const policyName = 'hawser-gateway';
const gatewayPods = 'app.kubernetes.io/name=hawser,app.kubernetes.io/component=gateway';
/** A dropped packet is retransmitted after one and three seconds (RFC 6298). */
const connectMilliseconds = 4_000;
/** A CNI needs a moment to apply a policy to a new pod. */
const again = { base: 3_000, most: 60_000 };
const restMilliseconds = 600_000;

export interface ProbeResult {
  /** Whether the policy exists. */
  policy: boolean;
  /** Whether a pod of the API gateway was available. */
  pod: boolean;
  /** Whether the allowed port was reachable. */
  allowed: boolean;
  /** Whether the denied port was reachable. */
  forbidden: boolean;
}

/** Pure. An unreachable port proves nothing unless the other port is reachable. */
export function policyFinding({ policy, pod, allowed, forbidden }: ProbeResult): Finding {
  const type = 'NetworkPoliciesEnforced';
  if (!policy || !pod || (!allowed && !forbidden)) {
    return {
      type,
      status: 'Unknown',
      reason: 'NotTried',
      message: !policy
        ? `unknown: NetworkPolicy ${policyName}, which the probe needs, does not exist; upgrade the chart’s release`
        : !pod
          ? 'unknown: no pod of the API gateway is Ready to probe'
          : 'unknown: the pod of the API gateway cannot be reached',
    };
  }
  return forbidden
    ? {
        type,
        status: 'False',
        reason: 'NotEnforced',
        message: `this cluster’s CNI does not enforce network policies: a connection that NetworkPolicy ${policyName} forbids succeeded. Hawser’s rules on each node isolate consumers’ pods, but NetworkPolicies have no effect; use a CNI that enforces them`,
      }
    : {
        type,
        status: 'True',
        reason: 'Enforced',
        message: `this cluster’s CNI enforces network policies: a connection that NetworkPolicy ${policyName} forbids was blocked`,
      };
}

/** Probes until the signal is aborted, and writes the condition of LocalCluster self. */
export async function runPolicyProbe(context: ControllerContext, signal: AbortSignal): Promise<void> {
  const { kube, namespace, clock, log } = context;
  const pods = context.informer(kind.pod, { namespace, labelSelector: gatewayPods });
  const localClusters = context.informer(kind.localCluster);

  async function attempt(): Promise<Finding> {
    const policy = await kube.get({ kind: kind.networkPolicy, namespace, name: policyName }, signal);
    const address = pods
      .list()
      .filter(({ status }) =>
        status?.conditions?.some((each) => each.type === 'Ready' && each.status === 'True'),
      )
      .flatMap(({ status }) => status?.podIP ?? [])
      .find((each) => each !== context.podIP);
    if (policy === undefined || address === undefined) {
      return policyFinding({
        policy: policy !== undefined,
        pod: address !== undefined,
        allowed: false,
        forbidden: false,
      });
    }
    const [allowed, forbidden] = await Promise.all([
      canConnect(address, ports.gateway, connectMilliseconds),
      canConnect(address, ports.gatewayMetrics, connectMilliseconds),
    ]);
    return policyFinding({ policy: true, pod: true, allowed, forbidden });
  }

  try {
    await Promise.all([localClusters.synced(signal), pods.synced(signal)]);
  } catch (error) {
    if (signal.aborted) return;
    throw error;
  }
  let before: string | undefined;
  for (let looks = 0; !signal.aborted; looks++) {
    let settled = false;
    try {
      const finding = await attempt();
      const local = localClusters.byKey('self');
      // A new policy may not be in force yet, so a result counts only when it is confirmed.
      settled = finding.status !== 'Unknown' && finding.reason === before && local !== undefined;
      before = finding.reason;
      const unknown =
        finding.status === 'Unknown' && findCondition(local?.status?.conditions, finding.type) === undefined;
      if (local !== undefined && (settled || unknown)) {
        await applyStatus(
          {
            kube,
            fieldManager,
            object: local,
            findings: [finding],
            now: clock.now(),
            events: context.events,
          },
          signal,
        );
      }
    } catch (error) {
      if (signal.aborted) return;
      log.warn('failed to probe whether network policies are enforced', { error: messageOf(error) });
    }
    if (settled) looks = 0;
    await sleep(settled ? restMilliseconds : backoff(looks, again), signal, clock);
  }
}

/** Whether a TCP connection succeeds. */
export function canConnect(host: string, port: number, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new Socket();
    const end = (made: boolean) => {
      socket.destroy();
      resolve(made);
    };
    socket.setTimeout(milliseconds, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.connect(port, host);
  });
}
