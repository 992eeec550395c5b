/** Reads an API gateway whose certificate is unknown: sends nothing confidential, and trusts no answer without verification. */
import { info, type Info } from '../../../shared/wire/gateway-api.ts';
import { deadline } from '../../../shared/time.ts';
import { GatewayUnreachable, parseJSON } from './errors.ts';
import { observingTransport } from './pinned-transport.ts';

const MILLISECONDS = 10_000;
const ANSWER_BYTES = 64 * 1024;

export interface GatewaySight {
  /** Pin of the certificate on the connection that carried the answer. */
  pin: string;
  info: Info;
}

/** Reads the public information of the gateway. Rejects with GatewayUnreachable. */
export async function lookAtGateway(url: string, signal: AbortSignal): Promise<GatewaySight> {
  const transport = observingTransport();
  using limited = deadline(signal, MILLISECONDS, 'GET /v1/info');
  try {
    const response = await transport.fetch(new URL('/v1/info', url).href, {
      headers: { accept: 'application/json', 'user-agent': 'hawser' },
      signal: limited.signal,
    });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.length;
      if (size > ANSWER_BYTES) throw new RangeError(`an answer of more than ${ANSWER_BYTES} bytes`);
      chunks.push(chunk);
    }
    const parsed = info.safeParse(parseJSON(new TextDecoder().decode(Buffer.concat(chunks))));
    const pin = transport.pin();
    if (!response.ok || !parsed.success || pin === undefined)
      throw new Error(
        'the server is not a Hawser API gateway, or its version is not compatible with this one',
      );
    return { pin, info: parsed.data };
  } catch (error) {
    if (signal.aborted) throw error;
    const why = error instanceof Error ? error.message : 'unknown error';
    throw new GatewayUnreachable(`no answer from the gateway at ${url}: ${why}`, { cause: error });
  } finally {
    transport.close();
  }
}
