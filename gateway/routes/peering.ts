/** `DELETE /v1/peering`: a consumer ends its peering. */
import { z } from 'zod';
import { label } from '../../shared/api/meta.ts';
import { defaultPeering } from '../../shared/names.ts';
import { readSignature } from '../../shared/trust/http-signatures.ts';
import type { Dependencies, GatewayContext } from '../context.ts';
import { findPeering } from '../incoming-peerings.ts';
import { resources } from '../kube/resources.ts';
import { findRemote, verifyRequest } from '../middleware/authenticate-signature.ts';
import { route, type Operation, type Route } from '../operation.ts';
import { invalidFields } from '../validation.ts';

export const peeringParameter: NonNullable<Operation['parameters']>[number] = {
  name: 'peering',
  in: 'query',
  description: 'Tells apart several peerings of one consumer',
  schema: z.string().max(20).default(defaultPeering),
};

/** The query parameter `peering`. Throws Problem. */
export function peeringOf(context: GatewayContext): string {
  const parsed = label.max(20).safeParse(context.req.query('peering') ?? defaultPeering);
  if (parsed.success) return parsed.data;
  throw invalidFields([
    {
      field: 'peering',
      detail: 'is not allowed as it is',
      allowed: 'at most 20 characters of a-z, 0-9 and -',
    },
  ]);
}

export function peeringRoute(dependencies: Dependencies): Route {
  return route(
    {
      id: 'deletePeering',
      method: 'DELETE',
      path: '/v1/peering',
      summary: 'End a peering: everything that was made for it here goes',
      authentication: { by: 'OwnSignature' },
      parameters: [peeringParameter],
      responses: [{ status: 204, description: 'It is being removed, or was not there' }],
      problems: ['invalid-field', 'signature-refused'],
    },
    async (context) => {
      const peering = peeringOf(context);
      const { signal } = context.var;
      const claim = readSignature(context.req.raw.headers);
      const remote = await findRemote(dependencies, claim, signal);
      // Whoever asks again after an answer was lost may be forgotten already, and then nothing is left to delete.
      if (remote === undefined) return context.body(null, 204);
      verifyRequest(dependencies, context, claim, remote.spec.publicKey);
      context.set('caller', remote.spec.clusterID);
      const found = await findPeering(dependencies, remote.spec.clusterID, peering, signal);
      if (found !== undefined)
        await dependencies.kube.delete(
          resources.incomingPeerings,
          found.metadata.name,
          found.metadata.uid,
          signal,
        );
      return context.body(null, 204);
    },
  );
}
