/** Checks of the tunnels, from the view of both ends. Pure. */
import type { Tunnel } from '../../shared/api/network.ts';
import { findCondition } from '../../shared/conditions.ts';
import { waitingText, type WaitingRange } from '../../shared/net/remapping.ts';
import { ago } from '../ages.ts';
import { incomingOf, outgoingOf } from './checks-control-plane.ts';
import type { Facts } from './facts.ts';
import type { Check, Finding } from './finding.ts';

const group = 'Tunnel';
/** Less can be chance: one or two of the 64 probes that are counted. */
const reportedLoss = 0.03;
/** Tolerance in bytes between the planned and the measured MTU. */
const mtuSlack = 8;

function tunnelsOf(facts: Facts): Tunnel[] {
  const ids = new Set([...outgoingOf(facts), ...incomingOf(facts)].map(({ spec }) => spec.remoteCluster));
  return facts.objects.tunnels.filter(({ spec }) => ids.has(spec.remoteCluster));
}

/** The tunnel as the remote reports it, if it is a provider and its report is current. */
function otherSide(facts: Facts, id: string) {
  const report = facts.objects.outgoing.find(({ spec }) => spec.remoteCluster === id)?.status?.providerReport;
  return report?.problem === undefined ? report?.state?.tunnel : undefined;
}

export const missing: Check = (facts) => {
  const present = new Set(facts.objects.tunnels.map(({ spec }) => spec.remoteCluster));
  const ids = new Set([...outgoingOf(facts), ...incomingOf(facts)].map(({ spec }) => spec.remoteCluster));
  return [...ids]
    .filter((id) => !present.has(id))
    .map((id) => ({
      group,
      check: 'tunnel',
      subject: id,
      verdict: 'Bad',
      seen: `no tunnel to ${id} exists yet`,
      why: 'a tunnel needs the network documents of both clusters, and one of them is missing',
      hint: `kubectl describe remotecluster ${id}`,
    }));
};

export const handshake: Check = (facts) =>
  tunnelsOf(facts).map((tunnel): Finding => {
    const { remoteCluster: id, remoteTunnelEndpoints } = tunnel.spec;
    const established = findCondition(tunnel.status?.conditions, 'Established');
    const about = { group, subject: id } as const;
    if (established?.status === 'True')
      return {
        ...about,
        check: 'handshake',
        verdict: 'Good',
        seen: `last handshake with ${id} ${ago(tunnel.status?.latestHandshake, facts.now)}, endpoint ${tunnel.status?.endpoint ?? 'unknown'}`,
      };
    const seen = established?.message ?? 'no node has reported on the tunnel yet';
    if (established?.reason === 'NoGateway')
      return {
        ...about,
        check: 'gateway-node',
        verdict: 'Bad',
        seen,
        why: 'tunnels end on gateway nodes',
        hint: 'kubectl get nodes -l hawser.dev/gateway=true; kubectl label node NODE hawser.dev/gateway=true',
      };
    if (established?.reason !== 'WaitingForHandshake')
      return {
        ...about,
        check: 'handshake',
        verdict: 'Bad',
        seen,
        why: 'no packet passes without a WireGuard session',
        hint: `kubectl describe tunnel ${id}`,
      };
    const other = otherSide(facts, id);
    const both =
      other === undefined
        ? ''
        : other.established
          ? `; ${id} reports one ${ago(other.latestHandshake, facts.now)}`
          : `; ${id} reports none either`;
    const endpoints =
      remoteTunnelEndpoints.flatMap((tunnelEndpoint) => tunnelEndpoint.addresses).join(', ') ||
      'the endpoints of the remote (none declared)';
    return {
      ...about,
      check: 'udp-blocked',
      verdict: 'Bad',
      seen: `${seen}${both}`,
      why: 'WireGuard does not answer packets that it cannot authenticate, so a firewall and a wrong key look the same from here',
      hint: `allow UDP from this cluster’s gateway nodes to ${endpoints}; on a gateway node: tcpdump -ni any udp port 7470`,
    };
  });

export const path: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id } = tunnel.spec;
    const established = findCondition(tunnel.status?.conditions, 'Established');
    const verified = findCondition(tunnel.status?.conditions, 'PathVerified');
    // Without a session there is no path; the handshake check reports that.
    if (established?.status !== 'True') return [];
    const about = { group, check: 'path', subject: id } as const;
    const other = otherSide(facts, id);
    if (verified?.status !== 'True')
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: verified?.message ?? `no path probe was sent to ${id} yet`,
          why: `the session is established, but packets are dropped at one of the sides${other === undefined ? '' : other.pathVerified ? '; probes in the opposite direction are answered' : ', in both directions'}`,
          hint: `see the drops by reason: hawser status ${id}; resolve findings about nodes; run hawser doctor at ${id} too`,
        },
      ];
    if (other?.pathVerified === false)
      return [
        {
          ...about,
          verdict: 'Warning',
          seen: `probes of this cluster are answered, those of ${id} are not`,
          why: 'connections that the remote opens may fail',
          hint: `at ${id}: hawser doctor`,
        },
      ];
    return [{ ...about, verdict: 'Good', seen: verified.message }];
  });

/** A path that silently drops packets of the planned size. */
export const mtu: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id, mtu: planned } = tunnel.spec;
    const measured = tunnel.status?.pathMTU;
    if (measured === undefined) return [];
    if (measured >= planned - mtuSlack)
      return [
        {
          group,
          check: 'mtu',
          subject: id,
          verdict: 'Good',
          seen: `packets of ${measured} bytes pass to ${id}`,
        },
      ];
    return [
      {
        group,
        check: 'mtu-black-hole',
        subject: id,
        verdict: 'Warning',
        seen: `the path to ${id} passes packets of ${measured} bytes, but ${planned} were planned; larger ones are dropped silently`,
        why: 'connections open and then stall when they send much data; Hawser lowers the packet size to what it measures',
        hint: `set the MTU of the path, ${measured + 80}: kubectl edit localcluster self (spec.mtu); or allow ICMP "fragmentation needed"`,
      },
    ];
  });

export const loss: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id } = tunnel.spec;
    const { sent, lost } = tunnel.status?.probes ?? { sent: 0, lost: 0 };
    if (sent < 16 || lost / sent < reportedLoss) return [];
    return [
      {
        group,
        check: 'loss',
        subject: id,
        verdict: 'Warning',
        seen: `${lost} of the last ${sent} probes to ${id} were lost`,
        why: 'connections become slow long before they break',
        hint: `measure between the gateway nodes and ${tunnel.status?.endpoint ?? 'the remote'}: mtr -u`,
      },
    ];
  });

/** The finding about a range that is not known here as intended, with the step that resolves it. */
function waitingFinding(id: string, range: WaitingRange): Finding {
  const { real, reason, mapped } = range;
  const seen = waitingText(id, range);
  const known = mapped !== undefined;
  return {
    group,
    check: 'remapping',
    subject: id,
    verdict: known ? 'Warning' : 'Bad',
    seen: reason === 'NotFree' ? seen : seen.slice(0, seen.lastIndexOf('; ')),
    why: known
      ? 'pods have other addresses here than was accepted'
      : 'pods in this range cannot be reached from this cluster',
    hint:
      reason === 'NoFreeRange'
        ? 'kubectl edit localcluster self (add a range to spec.remapPools, or remove one from spec.reservedCIDRs)'
        : reason === 'NotFree'
          ? 'kubectl edit localcluster self (remove it from spec.acceptedRemoteCIDRs, or free the range that it overlaps)'
          : `hawser remap approve ${id} ${real}`,
  };
}

export const remappings: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id, remaps, remotePodCIDRs, remoteExternalCIDR } = tunnel.spec;
    const ready = findCondition(tunnel.status?.conditions, 'Ready');
    const waiting = tunnel.status?.waitingRanges ?? [];
    const unplaced = [...remotePodCIDRs, remoteExternalCIDR].filter(
      (range) => !remaps.some(({ real, state }) => real === range && state === 'InUse'),
    );
    const unexplained = unplaced.filter((range) => !waiting.some(({ real }) => real === range));
    if (waiting.length > 0 || unexplained.length > 0)
      return [...waiting, ...unexplained.map((real): WaitingRange => ({ real, reason: 'NoFreeRange' }))].map(
        (range) => waitingFinding(id, range),
      );
    if (ready?.reason === 'RemoteDocumentInvalid')
      return [
        {
          group,
          check: 'remapping',
          subject: id,
          verdict: 'Bad',
          seen: ready.message,
          why: 'nothing of an invalid network document is used',
          hint: `at ${id}: hawser doctor`,
        },
      ];
    return [];
  });
