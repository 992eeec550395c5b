/** `/v1/peering`: a consumer reads the provider report of its peering, and ends the peering. */
import { z } from 'zod';
import { label } from '../../shared/api/meta.ts';
import { kind } from '../../shared/kube/refs.ts';
import { defaultPeering } from '../../shared/names.ts';
import { peeringReport, type PeeringReport } from '../../shared/wire/gateway-api.ts';
import type { Dependencies, GatewayContext } from '../http/context.ts';
import { findPeering, noPeering } from '../peerings/incoming-peerings.ts';
import { route, type Operation, type Route } from '../http/operation.ts';
import { peeringStateOf } from '../peerings/peering-state.ts';
import { invalidFields } from '../http/validation.ts';

export const peeringParameter: NonNullable<Operation['parameters']>[number] = {
  name: 'peering',
  in: 'query',
  description: 'Name of the peering, if the consumer has several',
  schema: z.string().max(20).default(defaultPeering),
};

/** The query parameter `peering`. Throws Problem. */
export function peeringOf(context: GatewayContext): string {
  const parsed = label.max(20).safeParse(context.req.query('peering') ?? defaultPeering);
  if (parsed.success) return parsed.data;
  throw invalidFields([
    {
      field: 'peering',
      detail: 'has an invalid value',
      allowed: 'at most 20 characters of a-z, 0-9 and -',
    },
  ]);
}

export function peeringRoutes(dependencies: Dependencies): Route[] {
  return [getPeering(dependencies), deletePeering(dependencies)];
}

function getPeering(dependencies: Dependencies): Route {
  return route(
    {
      id: 'getPeering',
      method: 'GET',
      path: '/v1/peering',
      summary: 'Status of the caller’s own peering on this cluster: tenant, quota, tunnel and problems',
      authentication: { by: 'ClusterKey' },
      parameters: [peeringParameter],
      responses: [
        { status: 200, description: 'The status of the peering on this cluster', schema: peeringReport },
      ],
      problems: ['invalid-field', 'signature-refused', 'no-peering'],
    },
    async (context) => {
      const peering = peeringOf(context);
      const { remote, signal } = context.var;
      const { clusterID } = remote.spec;
      const [found, tunnel] = await Promise.all([
        findPeering(dependencies, clusterID, peering, signal),
        dependencies.kube.get({ kind: kind.tunnel, name: clusterID }, signal),
      ]);
      if (found === undefined) throw noPeering(clusterID, peering);
      const report: PeeringReport = {
        ...peeringStateOf(found, tunnel),
        at: new Date(dependencies.clock()).toISOString(),
      };
      return context.json(report);
    },
  );
}

function deletePeering(dependencies: Dependencies): Route {
  return route(
    {
      id: 'deletePeering',
      method: 'DELETE',
      path: '/v1/peering',
      summary: 'End a peering: everything that was created for it here is deleted',
      authentication: { by: 'ClusterKey' },
      parameters: [peeringParameter],
      responses: [{ status: 204, description: 'The peering is being removed, or did not exist' }],
      problems: ['invalid-field', 'signature-refused'],
    },
    async (context) => {
      const peering = peeringOf(context);
      const { remote, signal } = context.var;
      // Unknown clusters get the answer to a wrong signature. A consumer whose first answer was lost, and whose RemoteCluster is
      // gone by now, treats it as the end of the peering (daemon/peering/removal.ts).
      const found = await findPeering(dependencies, remote.spec.clusterID, peering, signal);
      if (found !== undefined)
        await dependencies.kube.delete(
          { kind: kind.incomingPeering, name: found.metadata.name },
          { ...(found.metadata.uid !== undefined && { uid: found.metadata.uid }) },
          signal,
        );
      return context.body(null, 204);
    },
  );
}
