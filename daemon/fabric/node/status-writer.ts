/** Writes the status of a node's FabricNode: at once when a state changes, rarely for counters. */
import type { FabricNode } from '../../../shared/api/network.ts';
import { applyStatus, messageOf, stableText, type KubeClient, type Log } from '../../kube/index.ts';
import { sleep, type Clock } from '../../../shared/time.ts';
import type { Notifier } from './notifier.ts';
import { programmedFinding, readSessions, urgentPart, type Progress } from './status.ts';
import type { NodePlan } from '../plan/node-plan.ts';
import type { DeviceStatus } from '../ports.ts';
import type { ProbeVerdict } from './path-probe.ts';

export interface NodeReport {
  node: FabricNode;
  plan: NodePlan;
  progress: Progress;
  device: DeviceStatus | null;
  /** publicKey, endpoint, heldTunnelEndpoint, appliedRevision, version. */
  fields: Record<string, unknown>;
  verdict: (remoteCluster: string) => ProbeVerdict | undefined;
}

const fieldManager = 'hawser-fabric-node';
/** Maximum age of measurements in the status; others take a longer silence for a dead node. */
const countersMilliseconds = 10_000;
/** Interval at which the device's status is read. */
const tickMilliseconds = 1_000;
/**
 * Transitions within this time share one write: a write grows with the number of sessions, and many remotes may come up
 * together.
 */
const gapMilliseconds = 100;
const gapOfSessionMilliseconds = 8;

/** @param read returns undefined while there is nothing to report */
export async function writeNodeStatus(
  kube: KubeClient,
  read: () => NodeReport | undefined,
  notifier: Notifier,
  clock: Clock,
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  let written = { urgent: '', counted: '', at: -Infinity };
  let seen = '';
  let seenDevice: DeviceStatus | null = null;
  let failed = '';
  while (!signal.aborted) {
    const rung = await notifier.wait(tickMilliseconds, signal, clock);
    const report = signal.aborted ? undefined : read();
    if (report === undefined) continue;
    const { node, plan, progress, device } = report;
    const finding = programmedFinding(node, progress, plan.warnings);
    const old = clock.monotonic() - written.at > countersMilliseconds;
    const looked = stableText([finding, node.metadata.uid, node.metadata.generation]);
    // No notification and no change: this runs each second, and there may be many sessions.
    if (!rung && !old && failed === '' && device === seenDevice && looked === seen) continue;
    [seen, seenDevice] = [looked, device];
    const sessions = readSessions(plan, device, report.verdict);
    const fields = {
      ...report.fields,
      observedGeneration: node.metadata.generation,
      ...(device !== null && { features: featureTexts(device.features) }),
    };
    const urgent = stableText([fields, finding, urgentPart(sessions), node.metadata.uid]);
    const counted = stableText(sessions);
    if (urgent === written.urgent && (counted === written.counted || !old)) continue;
    try {
      await applyStatus(
        {
          kube,
          fieldManager,
          object: node,
          findings: [finding],
          fields: { ...fields, sessions },
          now: clock.now(),
        },
        signal,
      );
      written = { urgent, counted, at: clock.monotonic() };
      failed = '';
      await sleep(gapMilliseconds + gapOfSessionMilliseconds * sessions.length, signal, clock);
    } catch (error) {
      const message = messageOf(error);
      if (!signal.aborted && message !== failed)
        log.warn('failed to write the status; retrying', { error: message });
      failed = message;
    }
  }
}

/** The device's features are of several types; the API keeps text. */
function featureTexts(features: object): Record<string, string> {
  return Object.fromEntries(
    Object.entries(features).map(([name, value]) => [name, String(value).slice(0, 128)]),
  );
}
