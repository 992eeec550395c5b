/** Checks of this cluster by itself: its ranges, its parts, its nodes. Pure. */
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
      seen: wrong?.message ?? 'the controller has said nothing of this cluster yet',
      why: 'a cluster that does not know its own ranges can declare none, and nobody can reach it',
      hint: 'kubectl edit localcluster self (spec.podCIDRs, spec.serviceCIDRs, spec.reservedCIDRs)',
    },
  ];
};

/** A range that must not be touched, and something of this cluster or a remapping that lies in it. */
export const reservedRanges: Check = ({ objects }) => {
  const { spec, status } = objects.self;
  const findings: Finding[] = [];
  for (const reserved of spec.reservedCIDRs ?? []) {
    const range = tryParseRange(reserved);
    if (range === undefined) continue;
    const meets = (text: string) => {
      const other = tryParseRange(text);
      return other !== undefined && overlaps(other, range);
    };
    const own = [
      ...(status?.podCIDRs ?? []).map((cidr) => ({ cidr, what: 'pods' })),
      ...(status?.serviceCIDRs ?? []).map((cidr) => ({ cidr, what: 'Services' })),
      ...(status?.externalCIDR === undefined
        ? []
        : [{ cidr: status.externalCIDR, what: 'mapped addresses' }]),
    ];
    for (const { cidr, what } of own.filter((each) => meets(each.cidr)))
      findings.push({
        group,
        check: 'reserved-ranges',
        subject: reserved,
        verdict: 'Bad',
        seen: `the reserved range ${reserved} overlaps ${cidr}, from which this cluster’s ${what} have their addresses`,
        why: 'reserved is what others use: packets for the one reach the other',
        hint: 'kubectl edit localcluster self (spec.reservedCIDRs; for mapped addresses spec.externalCIDR)',
      });
    for (const tunnel of objects.tunnels) {
      for (const { real, mapped } of tunnel.spec.remaps.filter((remap) => meets(remap.mapped)))
        findings.push({
          group,
          check: 'reserved-ranges',
          subject: reserved,
          verdict: 'Warning',
          seen: `${mapped}, by which ${real} of ${tunnel.spec.remoteCluster} is known here, overlaps the reserved range ${reserved}`,
          why: 'from this cluster’s nodes what really has these addresses is not reached while the tunnel has them',
          hint: `another range is chosen for new connections, and this one drains: hawser status ${tunnel.spec.remoteCluster}`,
        });
    }
  }
  return findings;
};

export const workloads: Check = ({ workloads: all, namespace }) =>
  (all ?? []).map(({ kind, name, wanted, ready }): Finding =>
    ready >= wanted && wanted > 0
      ? {
          group,
          check: 'workloads',
          subject: name,
          verdict: 'Good',
          seen: `${name}: ${ready} of ${wanted} ready`,
        }
      : {
          group,
          check: 'workloads',
          subject: name,
          verdict: 'Bad',
          seen: wanted === 0 ? `${kind} ${name} has no pods` : `${name}: ${ready} of ${wanted} ready`,
          why: 'what it does is not done: the controller decides, the gateway answers peers, the nodes move packets',
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
        seen: 'whether Hawser has its rights was not seen: this user may not create subjectaccessreviews',
      },
    ];
  const missing = all.filter(({ allowed }) => !allowed);
  if (missing.length === 0)
    return [
      {
        group,
        check: 'rights',
        verdict: 'Good',
        seen: `Hawser’s accounts have the ${all.length} rights looked at`,
      },
    ];
  return [...Map.groupBy(missing, ({ account }) => account)].map(([account, lacking]) => ({
    group,
    check: 'rights',
    subject: account,
    verdict: 'Bad',
    seen: `service account ${account} may not ${lacking.map(({ right }) => right).join(', ')}`,
    why: 'RBAC refuses its requests, and what it keeps stays as it is',
    hint: 'bring back its roles: helm upgrade hawser deploy/chart --reuse-values',
  }));
};

/** Only a provider's consumers are kept from others by them. */
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
      why: 'pods of consumers may reach other pods of this cluster, and those may reach them',
      hint: 'use a CNI that enforces NetworkPolicies where strangers’ pods run',
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
      seen: `this command is version ${version}, and the cluster runs Hawser ${installed}`,
      why: 'it may not know of all that is there',
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
      why: 'a rollout that has not ended leaves nodes that do not understand all that the controller writes',
      hint: 'kubectl rollout status daemonset/hawser-node -n hawser-system',
    });
  }
  return findings.length > 0
    ? findings
    : [{ group, check: 'versions', verdict: 'Good', seen: `everything here is Hawser ${installed}` }];
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
          seen: `${metadata.name}: ${programmed?.message ?? 'its node daemon has reported nothing'}`,
          why: 'pods of this node reach no remote',
          hint: `kubectl logs -n ${namespace} -l app.kubernetes.io/component=node --field-selector spec.nodeName=${metadata.name}`,
        };
  });

export const gatewayNodes: Check = ({ nodes: all, objects }) => {
  if (all === undefined) return [];
  const labelled = all.filter(({ gateway, virtual }) => gateway && !virtual);
  const why = 'tunnels end on gateway nodes: without one no packet leaves or enters this cluster';
  if (labelled.length === 0)
    return [
      {
        group,
        check: 'gateway-node',
        verdict: 'Bad',
        seen: 'no node is labelled to be a gateway',
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
      seen: `of the gateway nodes ${gone.join('; ')}`,
      why: ready.length === 0 ? why : 'another one has to carry what it carried',
      hint:
        ready.length === 0
          ? 'bring it back, or label another: kubectl label node NODE hawser.dev/gateway=true'
          : `${ready.map(({ name }) => name).join(', ')} takes over; bring the other back or take its label`,
    },
  ];
};

const hostChecks = {
  ReversePathFilter: {
    check: 'reverse-path-filter',
    why: 'packets are dropped by the kernel and nothing counts them',
  },
  ForeignMasquerade: { check: 'foreign-masquerade', why: 'the remote admits only the sources that it knows' },
  ForeignDrop: {
    check: 'foreign-drop',
    why: 'packets that came through the tunnel, or are to go, end on this node',
  },
  ForwardingDisabled: { check: 'forwarding', why: 'pods are reached by forwarding' },
} as const;

/** What node daemons saw of their nodes' kernels. */
export const hosts: Check = ({ objects }) => {
  const findings = objects.fabricNodes.flatMap(({ metadata, status }) =>
    (status?.hostProblems ?? []).map(({ reason, message }): Finding => {
      const cut = message.lastIndexOf('; ');
      const { check, why } = hostChecks[reason] ?? { check: 'host', why: '' };
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
      seen: 'no rule or parameter of others on the nodes is in the way',
    },
  ];
};
