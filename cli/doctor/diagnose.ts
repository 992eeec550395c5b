/** All checks, in reading order: first those that the others depend on. Pure. */
import { docsOf } from './catalog.ts';
import * as cluster from './checks-cluster.ts';
import * as control from './checks-control-plane.ts';
import * as offloading from './checks-offloading.ts';
import * as tunnel from './checks-tunnel.ts';
import type { Facts } from './facts.ts';
import { groups, severity, type Check, type Finding, type Verdict } from './finding.ts';

const checks: readonly Check[] = [
  cluster.ranges,
  cluster.remapPool,
  cluster.reservedRanges,
  cluster.workloads,
  cluster.rights,
  cluster.networkPolicies,
  cluster.versions,
  cluster.gatewayNodes,
  cluster.nodes,
  cluster.hosts,
  control.identity,
  control.gateway,
  control.clocks,
  control.compatibility,
  control.tokens,
  control.tenants,
  tunnel.missing,
  tunnel.handshake,
  tunnel.path,
  tunnel.mtu,
  tunnel.loss,
  tunnel.remappings,
  offloading.virtualNodes,
  offloading.kubelets,
  offloading.quota,
  offloading.names,
  offloading.providerReport,
  offloading.namespaces,
  offloading.networkPolicies,
];

/** Every finding, by group, the worst first within each. */
export function diagnose(facts: Facts): Finding[] {
  const found = checks
    .flatMap((check) => check(facts))
    .map((finding) => (finding.verdict === 'Good' ? finding : { ...finding, docs: docsOf(finding.check) }));
  return groups.flatMap((group) =>
    found
      .filter((finding) => finding.group === group)
      .toSorted((one, other) => severity[one.verdict] - severity[other.verdict]),
  );
}

export function countVerdicts(findings: readonly Finding[]): Record<Verdict, number> {
  const counts: Record<Verdict, number> = { Good: 0, Warning: 0, Bad: 0, Unknown: 0 };
  for (const { verdict } of findings) counts[verdict] += 1;
  return counts;
}
