/** Checks of the tunnels, as both ends see them. Pure. */
import type { Tunnel } from '../../shared/api/network.ts';
import { findCondition } from '../../shared/conditions.ts';
import { ago } from '../ages.ts';
import { incomingOf, outgoingOf } from './checks-control-plane.ts';
import type { Facts } from './facts.ts';
import type { Check, Finding } from './finding.ts';

const group = 'Tunnel';
/** Below is chance: one of the 64 probes that are counted. */
const lossWorthTelling = 0.03;
/** So much smaller than planned, and the path has a bottleneck that nothing announces. */
const mtuSlack = 8;

function tunnelsOf(facts: Facts): Tunnel[] {
  const ids = new Set([...outgoingOf(facts), ...incomingOf(facts)].map(({ spec }) => spec.remoteCluster));
  return facts.objects.tunnels.filter(({ spec }) => ids.has(spec.remoteCluster));
}

/** What the provider says of the tunnel, if it is one and has told. */
function otherSide(facts: Facts, id: string) {
  const word = facts.objects.outgoing.find(({ spec }) => spec.remoteCluster === id)?.status?.provider;
  return word?.problem === undefined ? word?.state?.tunnel : undefined;
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
      seen: `there is no tunnel to ${id} yet`,
      why: 'it is planned from both sides’ network documents, and one of them is not here',
      hint: `kubectl describe remotecluster ${id}`,
    }));
};

export const handshake: Check = (facts) =>
  tunnelsOf(facts).map((tunnel): Finding => {
    const { remoteCluster: id, remoteEndpoints } = tunnel.spec;
    const established = findCondition(tunnel.status?.conditions, 'Established');
    const about = { group, subject: id } as const;
    if (established?.status === 'True')
      return {
        ...about,
        check: 'handshake',
        verdict: 'Good',
        seen: `handshake with ${id} ${ago(tunnel.status?.latestHandshake, facts.now)}, at ${tunnel.status?.endpoint ?? 'an unknown address'}`,
      };
    const seen = established?.message ?? 'no node has reported on it yet';
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
        why: 'no packet passes without a session',
        hint: `kubectl describe tunnel ${id}`,
      };
    const other = otherSide(facts, id);
    const both =
      other === undefined
        ? ''
        : other.established
          ? `; ${id} had one ${ago(other.latestHandshake, facts.now)}`
          : `; ${id} has none either`;
    const endpoints =
      remoteEndpoints.flatMap((tunnelEndpoint) => tunnelEndpoint.addresses).join(', ') || 'none declared';
    return {
      ...about,
      check: 'udp-blocked',
      verdict: 'Bad',
      seen: `${seen}${both}`,
      why: 'WireGuard answers nobody who is wrong, so a firewall and a wrong key look alike from here',
      hint: `let UDP through from this cluster’s gateway nodes to ${endpoints}; on a gateway node: tcpdump -ni any udp port 7470`,
    };
  });

export const path: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id } = tunnel.spec;
    const established = findCondition(tunnel.status?.conditions, 'Established');
    const verified = findCondition(tunnel.status?.conditions, 'PathVerified');
    // What has no session has no path; that is said already.
    if (established?.status !== 'True') return [];
    const about = { group, check: 'path', subject: id } as const;
    const other = otherSide(facts, id);
    if (verified?.status !== 'True')
      return [
        {
          ...about,
          verdict: 'Bad',
          seen: verified?.message ?? `no probe was sent to ${id} yet`,
          why: `the session is up, and what passes it is dropped on one of the sides${other === undefined ? '' : other.pathVerified ? '; probes the other way come back' : '; the other way too'}`,
          hint: `hawser status ${id} shows drops by reason; rules of others on the nodes stand under "This cluster"; run hawser doctor at ${id} too`,
        },
      ];
    if (other?.pathVerified === false)
      return [
        {
          ...about,
          verdict: 'Warning',
          seen: `probes of this cluster come back, and those of ${id} do not`,
          why: 'connections that the other side opens may fail',
          hint: `at ${id}: hawser doctor`,
        },
      ];
    return [{ ...about, verdict: 'Good', seen: verified.message }];
  });

/** A path that takes less than was planned, and does not say so. */
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
        seen: `the path to ${id} takes packets of ${measured} bytes, and ${planned} were planned: larger ones vanish, and nobody says so`,
        why: 'connections open and then hang as soon as much is sent; Hawser measures it and keeps to what passes',
        hint: `set the true MTU of the path, ${measured + 80}: kubectl edit localcluster self (spec.mtu); or let ICMP "fragmentation needed" through`,
      },
    ];
  });

export const loss: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id } = tunnel.spec;
    const { asked, lost } = tunnel.status?.probes ?? { asked: 0, lost: 0 };
    if (asked < 16 || lost / asked < lossWorthTelling) return [];
    return [
      {
        group,
        check: 'loss',
        subject: id,
        verdict: 'Warning',
        seen: `${lost} of the last ${asked} probes to ${id} were lost`,
        why: 'connections get slow well before they break',
        hint: `between the gateway nodes and ${tunnel.status?.endpoint ?? 'the other side'}: mtr -u`,
      },
    ];
  });

export const remappings: Check = (facts) =>
  tunnelsOf(facts).flatMap((tunnel): Finding[] => {
    const { remoteCluster: id, remaps, remotePodCIDRs, remoteExternalCIDR } = tunnel.spec;
    const ready = findCondition(tunnel.status?.conditions, 'Ready');
    const unplaced = [...remotePodCIDRs, remoteExternalCIDR].filter(
      (range) => !remaps.some(({ real, state }) => real === range && state === 'InUse'),
    );
    if (unplaced.length > 0)
      return [
        {
          group,
          check: 'remapping',
          subject: id,
          verdict: 'Bad',
          seen: `no free range stands here for ${unplaced.join(', ')} of ${id}`,
          why: 'what cannot be named cannot be reached',
          hint: 'kubectl edit localcluster self (add one to spec.remapPools, or take one from spec.reservedCIDRs)',
        },
      ];
    if (ready?.reason === 'RemoteDocumentInvalid')
      return [
        {
          group,
          check: 'remapping',
          subject: id,
          verdict: 'Bad',
          seen: ready.message,
          why: 'of a document that is not valid nothing is used',
          hint: `at ${id}: hawser doctor`,
        },
      ];
    return [];
  });
