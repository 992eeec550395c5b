/** A gateway with configurable answers, over real TLS, with the pin that a token would contain. */
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { issueSelfSignedCertificate } from '../../../shared/trust/self-signed-certificate.ts';

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export class HostileGateway {
  readonly url: string;
  readonly pin: string;
  /** PEM. */
  readonly certificate: string;
  readonly #server: Server;
  /** Handles a request. */
  answer: Answer = (_request, response) => void response.writeHead(500).end();
  requests = 0;

  constructor(server: Server, pin: string, certificate: string) {
    this.#server = server;
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.pin = pin;
    this.certificate = certificate;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.requests += 1;
      // Clients abort in the middle of a hostile answer.
      response.on('error', () => undefined);
      this.answer(request, response);
    });
  }

  static async start(): Promise<HostileGateway> {
    const issued = await issueSelfSignedCertificate({ hosts: ['127.0.0.1'], days: 2, now: Date.now() });
    const server = createServer({ cert: issued.certificate, key: issued.privateKey, minVersion: 'TLSv1.3' });
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new HostileGateway(server, issued.pin, issued.certificate);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Writes chunks as long as the client reads; returns the number of accepted bytes. */
export function pour(response: ServerResponse, chunk: (index: number) => string): { bytes: () => number } {
  let bytes = 0;
  let index = 0;
  const more = () => {
    while (!response.destroyed) {
      const text = chunk(index++);
      bytes += text.length;
      if (!response.write(text)) {
        response.once('drain', more);
        return;
      }
    }
  };
  more();
  return { bytes: () => bytes };
}
