/** Conditions of an incoming peering: whether it is ready, has quota left, and may have new pods. Pure. */
import type { IncomingPeering } from '../../shared/api/peerings.ts';
import type { Finding } from '../../shared/conditions.ts';
import { identitySecret, reasons, tenantNamespaceOf } from './names.ts';
import { excess, nothing, shortage, type Usage } from './usage.ts';

/** Whether more pods fit, and what happens to running ones when the grant was lowered. */
function quotaFinding(grant: IncomingPeering['spec']['grant'], used: Usage): Finding {
  const type = 'QuotaAvailable';
  const beyond = excess(grant, used);
  if (beyond !== undefined) {
    return {
      type,
      status: 'False',
      reason: reasons.QuotaExceeded,
      message: `usage exceeds the grant: ${beyond}; running pods stay, and new pods wait until enough pods end or the grant (spec.grant) is raised`,
    };
  }
  const short = shortage(grant, used, { ...nothing, pods: 1, requests: { cpu: 1n, memory: 1n } });
  return short === undefined
    ? { type, status: 'True', reason: reasons.QuotaAvailable, message: 'more pods can be admitted' }
    : {
        type,
        status: 'False',
        reason: reasons.QuotaExhausted,
        message: `${short.message}; new pods wait until some end or the grant (spec.grant) is raised`,
      };
}

/** Whether new pods of the consumer are admitted. The consumer itself drains them, by its disruption budgets. Pure. */
export function schedulableFinding(peering: IncomingPeering, pods: number): Finding {
  const { desired, remoteCluster } = peering.spec;
  const finding = (reason: string, message: string): Finding => ({
    type: 'Schedulable',
    status: desired === 'Active' ? 'True' : 'False',
    reason,
    message,
  });
  if (desired === 'Active') return finding(reasons.Active, `new pods of ${remoteCluster} are admitted`);
  if (desired === 'Cordoned') {
    return finding(
      reasons.Cordoned,
      `cordoned by this cluster: no new pods of ${remoteCluster} are admitted; running pods stay`,
    );
  }
  return pods === 0
    ? finding(
        reasons.Drained,
        `drained by this cluster: no pods of ${remoteCluster} are left, and no new ones are admitted`,
      )
    : finding(
        reasons.Draining,
        `being drained by this cluster: ${pods} pods of ${remoteCluster} are still here; ${remoteCluster} moves them, keeping its disruption budgets (to end them at once: hawser revoke ${peering.metadata.name})`,
      );
}

/** Conditions of a peering whose tenant namespace is set up. Pure. */
export function incomingFindings(
  peering: IncomingPeering,
  state: { revoked: boolean; problem: string | undefined; used: Usage },
): Finding[] {
  const { revoked, problem, used } = state;
  const { grant, remoteCluster } = peering.spec;
  const ready = problem === undefined && !revoked;
  const tenant: Finding = {
    type: 'TenantReady',
    status: ready ? 'True' : 'False',
    reason: revoked ? reasons.IdentityDeleted : problem === undefined ? reasons.Ready : reasons.NameConflict,
    message: revoked
      ? `the Secret ${identitySecret} was deleted, and with it every token of ${remoteCluster}; issue another peering token to restore its access`
      : (problem ?? `tenant namespace ${tenantNamespaceOf(peering)} of ${remoteCluster} is ready`),
  };
  return [
    tenant,
    quotaFinding(grant, used),
    {
      type: 'Revoked',
      status: revoked ? 'True' : 'False',
      reason: revoked ? reasons.IdentityDeleted : reasons.NotRevoked,
      message: revoked ? tenant.message : 'the consumer’s identity is valid',
    },
    schedulableFinding(peering, used.pods),
    { ...tenant, type: 'Ready' },
  ];
}
