/**
 * HTTPS to an API gateway whose certificate is known by its pin: it is self-signed, trusted only for its key, and valid for
 * any address. Node only.
 */
import { Agent, type AgentOptions } from 'node:https';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { certificatePin } from '../../../shared/trust/certificate-pin.ts';
import { guardedLookup } from '../guarded-lookup.ts';
import { httpsFetch, type HttpsFetch } from './https-fetch.ts';

const CONNECT_MILLISECONDS = 10_000;
/** Besides open event streams a client needs only one or two connections. */
const IDLE_SOCKETS = 2;

/** The server's key differs from the one in the peering token. */
export class CertificatePinError extends Error {
  override readonly name = 'CertificatePinError';
}

export interface Transport {
  fetch: HttpsFetch;
  /** Closes the kept-alive connections. */
  close: () => void;
}

/** Connections to servers with the key of this pin (SHA-256 of the SubjectPublicKeyInfo, hexadecimal). TLS 1.3 only. */
export function pinnedTransport(pin: string): Transport {
  const agent = new PinnedAgent((shown) => shown === pin);
  return { fetch: httpsFetch(agent), close: () => agent.destroy() };
}

/** Connections to any server, with the pin of its certificate: only for documents that carry their own signature. */
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

  // The agent uses the socket only after the callback, so nothing is sent before the key was checked.
  override createConnection(
    options: AgentOptions & { host?: string; port?: number | string },
    callback?: (error: Error | null, socket: TLSSocket) => void,
  ): undefined {
    const host = options.host ?? '';
    const socket = connect({
      host,
      port: Number(options.port),
      lookup: guardedLookup,
      ...(isIP(host) === 0 && { servername: host }),
      // No CA signed the certificate. The pin is compared below, before the socket is used.
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
      // Later errors of an abandoned socket must not become uncaught exceptions.
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
