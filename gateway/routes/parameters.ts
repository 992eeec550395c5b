/** `/v1/parameters`: the two clusters exchange their network documents. */
import { z } from 'zod';
import { Problem } from '../../shared/errors.ts';
import { parameters } from '../../shared/wire/gateway-api.ts';
import type { Dependencies } from '../http/context.ts';
import { documentStream } from '../peerings/document-stream.ts';
import { findPeering, noPeering } from '../peerings/incoming-peerings.ts';
import { authenticateSender } from '../http/middleware/authenticate-signature.ts';
import { route, type Route } from '../http/operation.ts';
import { Shares } from '../http/shares.ts';
import { storeDocument, verifyDocument } from '../peerings/remote-clusters.ts';
import { peeringOf, peeringParameter } from './peering.ts';

const EVENT_STREAM = 'text/event-stream';

export function parameterRoutes(dependencies: Dependencies): Route[] {
  return [putSelf(dependencies), getRemote(dependencies)];
}

function putSelf(dependencies: Dependencies): Route {
  return route(
    {
      id: 'putParameters',
      method: 'PUT',
      path: '/v1/parameters/self',
      summary:
        'Declare the consumer’s network; a lower generation is refused. The document may carry successions of the cluster key',
      authentication: { by: 'OwnSignature' },
      body: { schema: parameters },
      responses: [{ status: 204, description: 'The document is stored, or was stored already' }],
      problems: ['invalid-field', 'invalid-document', 'signature-refused', 'stale-generation'],
    },
    async (context, body) => {
      const { networkDocument } = body;
      const { remote, publicKey } = await authenticateSender(dependencies, context, networkDocument);
      verifyDocument(dependencies, networkDocument, { ...remote.spec, publicKey });
      await storeDocument(dependencies, remote, publicKey, networkDocument, context.var.signal);
      return context.body(null, 204);
    },
  );
}

function getRemote(dependencies: Dependencies): Route {
  const { streams: most, streamsPerCluster: perHolder } = dependencies.limits;
  const streams = new Shares({ most, perHolder });
  dependencies.metrics.gauge('hawser_api_streams', 'Open event streams.', () => streams.total);
  return route(
    {
      id: 'getParameters',
      method: 'GET',
      path: '/v1/parameters/remote',
      summary: `This cluster’s network document for the consumer; with Accept: ${EVENT_STREAM}, each new one as an event`,
      authentication: { by: 'ClusterKey' },
      parameters: [
        peeringParameter,
        {
          name: 'last-event-id',
          in: 'header',
          description: 'Generation that the consumer already has; only for the event stream',
          schema: z.string().max(20).optional(),
        },
      ],
      responses: [
        { status: 200, description: 'The document', schema: parameters },
        {
          status: 200,
          description:
            'Events "parameters" with the JSON form as data and the generation as id; "ended" when the peering is gone',
          contentType: EVENT_STREAM,
          schema: z.string(),
        },
      ],
      problems: ['signature-refused', 'no-peering', 'no-document-yet', 'overloaded'],
    },
    async (context) => {
      const { remote, signal } = context.var;
      const peering = peeringOf(context);
      const { clusterID } = remote.spec;
      if ((await findPeering(dependencies, clusterID, peering, signal)) === undefined)
        throw noPeering(clusterID, peering);
      if (accepts(context.req.header('accept')))
        return context.body(
          documentStream(dependencies, streams, {
            remote,
            peering,
            lastEventID: context.req.header('last-event-id'),
            signal: context.req.raw.signal,
          }),
          200,
          { 'content-type': EVENT_STREAM },
        );
      const networkDocument = remote.status?.localDocument;
      if (networkDocument === undefined)
        throw new Problem(
          'no-document-yet',
          `The provider has not composed its network document for ${clusterID} yet. Try again, or watch with Accept: ${EVENT_STREAM}.`,
          { retryAfterSeconds: 2 },
        );
      return context.json({ networkDocument });
    },
  );
}

function accepts(header: string | undefined): boolean {
  return (header ?? '').split(',').some((part) => part.trim().split(';')[0]?.toLowerCase() === EVENT_STREAM);
}
