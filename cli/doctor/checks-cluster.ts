/** Checks of this cluster alone: its ranges, its workloads, its nodes. Pure. */
import { findCondition } from '../../shared/conditions.ts';
import { overlaps, tryParseRange } from '../../shared/net/cidr.ts';
import type { Check, Finding } from './finding.ts';
import { compareVersions } from './versions.ts';

const group = 'This cluster';

export const ranges: Check = ({ objects }) => {
  const { self } = objects;
  const consistent = findCondition(self.status?.conditions, 'CIDRsConsistent');
  const ready = findCondition(self.status?.conditions, 'Ready');
  const wrong = [consistent, ready].find((condition) => condition?.status !== 'True');
  if (consistent !== undefined && ready !== undefined && wrong === undefined)
    return [{ group, check: 'ranges', verdict: 'Good', seen: consistent.message }];
  return [
    {
      group,
      check: 'ranges',
      verdict: 'Bad',
      seen: wrong?.message ?? 'the controller has not reported on this cluster yet',
      why: 'a cluster without known ranges cannot declare them, so no remote can reach its pods',
      hint: 'kubectl edit localcluster self (spec.podCIDRs, spec.serviceCIDRs, spec.reservedCIDRs)',
    },
  ];
};

/** Whether the first pool for remapped ranges still has room. */
export const remapPool: Check = ({ objects }) => {
  const pool = findCondition(objects.self.status?.conditions, 'RemapPoolFree');
  if (pool === undefined) return [];
  if (pool.status === 'True') return [{ group, check: 'remap-pool', verdict: 'Good', seen: pool.message }];
  const cut = pool.message.indexOf('; ');
  return [
    {
      group,
      check: 'remap-pool',
      verdict: 'Warning',
      seen: cut < 0 ? pool.message : pool.message.slice(0, cut),
      why: 'the ranges used instead may belong to a network behind the default route, which pods and nodes then no longer reach',
      hint: 'kubectl edit localcluster self (add free ranges to spec.remapPools, and ranges in use to spec.reservedCIDRs)',
    },
  ];
};

/** A reserved range that overlaps a range of this cluster or a remapped range. */
export const reservedRanges: Check = ({ objects }) => {
  const { spec, status } = objects.self;
  const findings: Finding[] = [];
  for (const reserved of spec.reservedCIDRs ?? []) {
    const range = tryParseRange(reserved);
    if (range === undefined) continue;
    const overlapsReserved = (text: string) => {
      const other = tryParseRange(text);
      return other !== undefined && overlaps(other, range);
    };
    const own = [
      ...(status?.podCIDRs ?? []).map((cidr) => ({ cidr, what: 'pod CIDR' })),
      ...(status?.serviceCIDRs ?? []).map((cidr) => ({ cidr, what: 'Service CIDR' })),
      ...(status?.externalCIDR === undefined ? [] : [{ cidr: status.externalCIDR, what: 'external CIDR' }]),
    ];
    for (const { cidr, what } of own.filter((each) => overlapsReserved(each.cidr)))
      findings.push({
        group,
        check: 'reserved-ranges',
        subject: reserved,
        verdict: 'Bad',
        seen: `the reserved range ${reserved} overlaps ${cidr}, the ${what} of this cluster`,
        why: 'other systems use reserved ranges: packets for one of the two ranges reach the other',
        hint: 'kubectl edit localcluster self (spec.reservedCIDRs, or spec.externalCIDR)',
      });
    for (const tunnel of objects.tunnels) {
      for (const { real, mapped } of tunnel.spec.remaps.filter((remap) => overlapsReserved(remap.mapped)))
        findings.push({
          group,
          check: 'reserved-ranges',
          subject: reserved,
          verdict: 'Warning',
          seen: `${mapped}, to which ${real} of ${tunnel.spec.remoteCluster} is remapped, overlaps the reserved range ${reserved}`,
          why: 'nodes of this cluster send packets for these addresses into the tunnel, and not to the systems that own them',
          hint: `the controller uses another range for new pods and drains this one; see: hawser status ${tunnel.spec.remoteCluster}`,
        });
    }
  }
  return findings;
};

export const workloads: Check = ({ workloads: all, namespace }) =>
  (all ?? []).map(({ kind, name, desired, ready }): Finding =>
    ready >= desired && desired > 0
      ? {
          group,
          check: 'workloads',
          subject: name,
          verdict: 'Good',
          seen: `${name}: ${ready} of ${desired} ready`,
        }
      : {
          group,
          check: 'workloads',
          subject: name,
          verdict: 'Bad',
          seen: desired === 0 ? `${kind} ${name} has no pods` : `${name}: ${ready} of ${desired} ready`,
          why: 'without it peerings are not reconciled (controller), peers get no answer (API gateway), or packets do not pass (node)',
          hint: `kubectl describe ${kind.toLowerCase()} ${name} -n ${namespace}; kubectl logs -n ${namespace} ${kind.toLowerCase()}/${name}`,
        },
  );

export const rights: Check = ({ rights: all }) => {
  if (all === undefined)
    return [
      {
        group,
        check: 'rights',
        verdict: 'Unknown',
        seen: 'not checked: your user may not create subjectaccessreviews',
      },
    ];
  const missing = all.filter(({ allowed }) => !allowed);
  if (missing.length === 0)
    return [
      {
        group,
        check: 'rights',
        verdict: 'Good',
        seen: `Hawser’s service accounts have the ${all.length} checked permissions`,
      },
    ];
  return [...Map.groupBy(missing, ({ account }) => account)].map(([account, lacking]) => ({
    group,
    check: 'rights',
    subject: account,
    verdict: 'Bad',
    seen: `service account ${account} may not ${lacking.map(({ right }) => right).join(', ')}`,
    why: 'the API server refuses its requests, so objects that it manages are no longer updated',
    hint: 'restore its roles: helm upgrade hawser deploy/chart -n hawser-system --reuse-values',
  }));
};

/** They isolate consumers at a provider; elsewhere the check has no subject. */
export const networkPolicies: Check = ({ objects }) => {
  const enforced = findCondition(objects.self.status?.conditions, 'NetworkPoliciesEnforced');
  if (enforced === undefined || objects.incoming.length === 0) return [];
  if (enforced.status === 'True')
    return [{ group, check: 'network-policies', verdict: 'Good', seen: enforced.message }];
  return [
    {
      group,
      check: 'network-policies',
      verdict: enforced.status === 'False' ? 'Warning' : 'Unknown',
      seen: enforced.message,
      why: 'pods of consumers may reach other pods of this cluster, and the reverse',
      hint: 'use a CNI that enforces NetworkPolicies',
    },
  ];
};

export const versions: Check = ({ version, objects }) => {
  const installed = objects.self.status?.version;
  if (installed === undefined) return [];
  const findings: Finding[] = [];
  if (compareVersions(version, installed).distance !== 'Same')
    findings.push({
      group,
      check: 'versions',
      verdict: 'Warning',
      seen: `this command has version ${version}, and the cluster runs Hawser ${installed}`,
      why: 'the command may not know all fields and conditions of the cluster’s version',
      hint: `use the command of version ${installed}`,
    });
  for (const { metadata, status } of objects.fabricNodes) {
    if (status?.version === undefined || status.version === installed) continue;
    findings.push({
      group,
      check: 'versions',
      subject: metadata.name,
      verdict: 'Warning',
      seen: `node ${metadata.name} runs Hawser ${status.version}, and the controller ${installed}`,
      why: 'until the rollout is complete, some nodes may not understand what the controller writes',
      hint: 'kubectl rollout status daemonset/hawser-node -n hawser-system',
    });
  }
  return findings.length > 0
    ? findings
    : [{ group, check: 'versions', verdict: 'Good', seen: `all parts have version ${installed}` }];
};

export const nodes: Check = ({ objects, namespace }) =>
  objects.fabricNodes.map(({ metadata, status }): Finding => {
    const programmed = findCondition(status?.conditions, 'Programmed');
    return programmed?.status === 'True'
      ? {
          group,
          check: 'node',
          subject: metadata.name,
          verdict: 'Good',
          seen: `${metadata.name}: ${programmed.message}`,
        }
      : {
          group,
          check: 'node',
          subject: metadata.name,
          verdict: 'Bad',
          seen: `${metadata.name}: ${programmed?.message ?? 'its node daemon has not reported yet'}`,
          why: 'pods of this node cannot reach remote clusters',
          hint: `kubectl logs -n ${namespace} -l app.kubernetes.io/component=node --field-selector spec.nodeName=${metadata.name}`,
        };
  });

export const gatewayNodes: Check = ({ nodes: all, objects }) => {
  if (all === undefined) return [];
  const labelled = all.filter(({ gateway, virtual }) => gateway && !virtual);
  const why = 'tunnels end on gateway nodes; without one no packet enters or leaves this cluster';
  if (labelled.length === 0)
    return [
      {
        group,
        check: 'gateway-node',
        verdict: 'Bad',
        seen: 'no node is labelled as gateway node',
        why,
        hint: 'kubectl label node NODE hawser.dev/gateway=true',
      },
    ];
  const lost = objects.fabricNodes.filter(
    ({ metadata, spec }) =>
      spec.tunnelEndpoint !== undefined && all.find(({ name }) => name === metadata.name)?.ready !== 'True',
  );
  const ready = labelled.filter(({ ready: each }) => each === 'True');
  const gone = [
    ...labelled
      .filter((node) => node.ready !== 'True')
      .map(({ name, readyMessage }) => `${name} is not Ready (${readyMessage})`),
    ...lost
      .filter(({ metadata }) => !labelled.some(({ name }) => name === metadata.name))
      .map(
        ({ metadata, spec }) =>
          `${metadata.name}, which holds tunnel endpoint ${spec.tunnelEndpoint}, is gone`,
      ),
  ];
  if (gone.length === 0)
    return [
      {
        group,
        check: 'gateway-node',
        verdict: 'Good',
        seen: `gateway nodes: ${labelled.map(({ name }) => name).join(', ')}`,
      },
    ];
  return [
    {
      group,
      check: 'gateway-node',
      verdict: ready.length === 0 ? 'Bad' : 'Warning',
      seen: gone.join('; '),
      why: ready.length === 0 ? why : 'another gateway node has to carry its traffic',
      hint:
        ready.length === 0
          ? 'repair the node, or label another one: kubectl label node NODE hawser.dev/gateway=true'
          : `${ready.map(({ name }) => name).join(', ')} takes over; repair the other node, or remove its label`,
    },
  ];
};

const hostChecks = {
  ReversePathFilter: {
    check: 'reverse-path-filter',
    why: 'the kernel drops packets without counting them',
  },
  ForeignMasquerade: {
    check: 'foreign-masquerade',
    why: 'the remote admits only packets from pod addresses, and drops these',
  },
  ForeignDrop: {
    check: 'foreign-drop',
    why: 'packets from the tunnel, or to it, are dropped on this node',
  },
  ForwardingDisabled: {
    check: 'forwarding',
    why: 'the node does not forward packets between pods and the tunnel',
  },
  RouteRefused: {
    check: 'refused-routes',
    why: 'a route over addresses that the node itself needs would cut it off; pods there do not reach the remote at this range',
  },
} as const;

/** Problems of their nodes that node daemons report. */
export const hosts: Check = ({ objects }) => {
  const findings = objects.fabricNodes.flatMap(({ metadata, status }) =>
    (status?.hostProblems ?? []).map(({ reason, message }): Finding => {
      // The last part of the message says what to do.
      const cut = message.lastIndexOf('; ');
      const { check, why } = hostChecks[reason] ?? { check: 'host', why: 'the message describes the effect' };
      return {
        group,
        check,
        subject: metadata.name,
        verdict: reason === 'ReversePathFilter' ? 'Warning' : 'Bad',
        seen: `${metadata.name}: ${cut < 0 ? message : message.slice(0, cut)}`,
        why,
        ...(cut >= 0 && { hint: message.slice(cut + 2) }),
      };
    }),
  );
  if (findings.length > 0 || objects.fabricNodes.length === 0) return findings;
  return [
    {
      group,
      check: 'hosts',
      verdict: 'Good',
      seen: 'no firewall rule or kernel parameter on the nodes blocks traffic of Hawser',
    },
  ];
};
