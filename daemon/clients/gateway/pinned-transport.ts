/**
 * HTTPS to a gateway whose certificate is known by its pin: self-signed, valid for whichever address it is reached by,
 * and trusted for its key alone. Node only.
 */
import { Agent, type AgentOptions } from 'node:https';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { certificatePin } from '../../../shared/trust/certificate-pin.ts';
import { httpsFetch, type HttpsFetch } from './https-fetch.ts';

const CONNECT_MILLISECONDS = 10_000;
/** Event streams stay open; besides them one or two connections are all that a client needs. */
const IDLE_SOCKETS = 2;

/** The other side isn't who it was when the token was made. */
export class CertificatePinError extends Error {
  override readonly name = 'CertificatePinError';
}

export interface Transport {
  fetch: HttpsFetch;
  /** Closes the connections that are kept. */
  close: () => void;
}

/** Connections to servers that hold the key of that pin (SHA-256 of the SubjectPublicKeyInfo, hexadecimal). TLS 1.3 only. */
export function pinnedTransport(pin: string): Transport {
  const agent = new PinnedAgent((shown) => shown === pin);
  return { fetch: httpsFetch(agent), close: () => agent.destroy() };
}

/** Connections to any server, with the pin of the certificate it presented: only for documents that carry their own signature. */
export function observingTransport(): Transport & { pin: () => string | undefined } {
  let seen: string | undefined;
  const agent = new PinnedAgent((shown) => {
    seen = shown;
    return true;
  });
  return { fetch: httpsFetch(agent), close: () => agent.destroy(), pin: () => seen };
}

class PinnedAgent extends Agent {
  readonly #accepts: (pin: string | undefined) => boolean;

  constructor(accepts: (pin: string | undefined) => boolean) {
    super({ keepAlive: true, maxFreeSockets: IDLE_SOCKETS });
    this.#accepts = accepts;
  }

  // The agent hands out the socket when the callback says so: nothing is sent before the key was seen.
  override createConnection(
    options: AgentOptions & { host?: string; port?: number | string },
    callback?: (error: Error | null, socket: TLSSocket) => void,
  ): undefined {
    const host = options.host ?? '';
    const socket = connect({
      host,
      port: Number(options.port),
      ...(isIP(host) === 0 && { servername: host }),
      // No authority has signed the certificate. The pin is compared below, before the socket is used.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['http/1.1'],
    });
    const timer = setTimeout(
      () => fail(new Error(`no TLS connection to ${host} within ${CONNECT_MILLISECONDS / 1000} s`)),
      CONNECT_MILLISECONDS,
    );
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.removeListener('error', fail);
      // No one handles later events of an abandoned socket.
      socket.on('error', () => {});
      socket.destroy();
      callback?.(error, socket);
    };
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      if (!this.#accepts(pinOf(socket))) {
        fail(
          new CertificatePinError(
            `the gateway at ${host} presents a certificate whose key is not the one in the peering token: another server answers at that address, or the gateway has a new key and no statement signed by its cluster confirms it; if this persists, ask for a new token`,
          ),
        );
        return;
      }
      clearTimeout(timer);
      socket.removeListener('error', fail);
      callback?.(null, socket);
    });
  }
}

function pinOf(socket: TLSSocket): string | undefined {
  try {
    const raw = socket.getPeerX509Certificate()?.raw;
    return raw === undefined ? undefined : certificatePin(raw);
  } catch {
    return undefined;
  }
}
