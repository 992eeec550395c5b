/** Real TLS servers in place of API servers, with CAs like those of clusters, and a real CONNECT proxy. */
import 'reflect-metadata';
import { createServer as createPlainServer, type IncomingMessage, type Server } from 'node:http';
import { createServer } from 'node:https';
import { connect, type AddressInfo, type Socket } from 'node:net';
import {
  BasicConstraintsExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** A certificate and its key. */
export interface Issued {
  certificate: X509Certificate;
  keys: CryptoKeyPair;
  /** PEM. */
  text: string;
  /** PEM. */
  key: string;
}

/** Issues a certificate, self-signed or from an authority. */
export async function issue(
  name: string,
  by: Issued | undefined,
  options: { authority?: boolean; names?: string[]; addresses?: string[] } = {},
): Promise<Issued> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: `CN=${by === undefined ? name : by.certificate.subject.replace(/^CN=/, '')}`,
    serialNumber: String(Math.floor(Math.random() * 1e12) + 1),
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: (by?.keys ?? keys).privateKey,
    extensions: [
      new BasicConstraintsExtension(options.authority === true, undefined, true),
      new SubjectAlternativeNameExtension([
        ...(options.names ?? []).map((value) => ({ type: 'dns' as const, value })),
        ...(options.addresses ?? []).map((value) => ({ type: 'ip' as const, value })),
      ]),
    ],
  });
  const der = await crypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    certificate,
    keys,
    text: certificate.toString('pem'),
    key: PemConverter.encode(der, 'PRIVATE KEY'),
  };
}

export interface Seen {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  /** Each received header, one entry each. */
  raw: [name: string, value: string][];
  /** Common name of the client's certificate. */
  client: string | undefined;
}

export interface Standing {
  port: number;
  seen: Seen[];
  stop: () => Promise<void>;
}

/** Records every request, and answers it, by default with an empty list. */
export async function standIn(
  leaf: Issued,
  chain: Issued[] = [],
  clients?: Issued,
  answer: (request: IncomingMessage) => [status: number, body: object] | undefined = () => undefined,
): Promise<Standing> {
  const seen: Seen[] = [];
  const server = createServer(
    {
      cert: [leaf, ...chain].map(({ text }) => text).join('\n'),
      key: leaf.key,
      ...(clients && { ca: clients.text, requestCert: true, rejectUnauthorized: false }),
    },
    (request, response) => {
      const raw = request.rawHeaders.flatMap((name, index, all): [string, string][] =>
        index % 2 === 0 ? [[name, all[index + 1] ?? '']] : [],
      );
      const peer = (request.socket as { getPeerCertificate?: () => { subject?: { CN?: string } } })
        .getPeerCertificate;
      const client = peer?.call(request.socket).subject?.CN;
      seen.push({
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        raw,
        client,
      });
      const [status, body] = answer(request) ?? [200, { metadata: { resourceVersion: '1' }, items: [] }];
      response.writeHead(status).end(JSON.stringify(body));
    },
  );
  return { ...(await listening(server)), seen };
}

/** A proxy that supports only CONNECT, and records targets and credentials. */
export async function connectProxy(): Promise<
  Omit<Standing, 'seen'> & { asked: string[]; credentials: (string | undefined)[] }
> {
  const asked: string[] = [];
  const credentials: (string | undefined)[] = [];
  const server = createPlainServer((_request, response) => response.writeHead(405).end());
  server.on('connect', (request: IncomingMessage, socket: Socket) => {
    asked.push(request.url ?? '');
    credentials.push(request.headers['proxy-authorization']);
    const port = Number(/:(\d+)$/.exec(request.url ?? '')?.[1]);
    // Every name leads to this machine: only the proxy knows where the API server is.
    const far = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      far.pipe(socket);
      socket.pipe(far);
    });
    const end = () => {
      far.destroy();
      socket.destroy();
    };
    far.on('error', end);
    socket.on('error', end);
  });
  return { ...(await listening(server)), asked, credentials };
}

async function listening(server: Server): Promise<{ port: number; stop: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
