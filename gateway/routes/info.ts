/** `GET /v1/info`: public information about this cluster. */
import { info } from '../../shared/wire/gateway-api.ts';
import { self, type Dependencies } from '../http/context.ts';
import { route, type Route } from '../http/operation.ts';
import { features, version } from '../version.ts';

export function infoRoute(dependencies: Dependencies): Route {
  return route(
    {
      id: 'getInfo',
      method: 'GET',
      path: '/v1/info',
      summary: 'Who this cluster is',
      authentication: { by: 'Nobody' },
      responses: [{ status: 200, description: 'ID, key, version', schema: info }],
      problems: ['not-ready'],
    },
    async (context) => {
      const { clusterID, publicKey, object } = self(dependencies);
      const gateway = object.status?.gatewayStatement;
      return context.json({
        clusterID,
        publicKey,
        version,
        features: [...features],
        ...(gateway !== undefined && { gateway }),
      } satisfies typeof info._zod.output);
    },
  );
}
