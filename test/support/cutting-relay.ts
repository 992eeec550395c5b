/**
 * A relay in front of the API servers of a kubeconfig, which cuts a command off at an exact request: before the request reaches
 * the API server, or after it took effect but before its response arrives.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { newAuthority, newLeaf } from '../testbed/certificate.ts';

export interface Cut {
  method: string;
  /** Matched against the request's path, and against its body. */
  path: RegExp;
  body?: RegExp;
  when: 'before' | 'after';
}

export interface CuttingRelay extends AsyncDisposable {
  /** At the next matching request, once, calls `act` and drops the connection; all later requests fail. */
  arm(cut: Cut, act: () => void): void;
  /** Lets all requests pass again. Returns whether the cut happened. */
  disarm(): boolean;
}

interface Config {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
}

/** Writes `target`: the kubeconfig `source` with a relay of this process in front of each API server. */
export async function relayKubeconfig(source: string, target: string): Promise<CuttingRelay> {
  const config = JSON.parse(await readFile(source, 'utf8')) as Config;
  const name = 'cutting-relay';
  const authority = newAuthority(name, Date.now());
  const leaf = { commonName: name, usages: ['server'], addresses: ['127.0.0.1'] } as const;
  const shown = newLeaf(authority, name, leaf, Date.now());
  let armed: { cut: Cut; act: () => void; done: boolean } | undefined;
  const servers: Server[] = [];
  const agents: Agent[] = [];

  const fits = (when: Cut['when'], incoming: IncomingMessage, body: Buffer): boolean => {
    if (armed === undefined) return false;
    if (armed.done) return true;
    const { cut, act } = armed;
    if (
      cut.when !== when ||
      cut.method !== incoming.method ||
      !cut.path.test((incoming.url ?? '').replace(/\?.*/, ''))
    )
      return false;
    if (cut.body !== undefined && !cut.body.test(body.toString())) return false;
    armed.done = true;
    act();
    return true;
  };

  async function pass(
    upstream: string,
    agent: Agent,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<void> {
    const body = await whole(incoming);
    if (fits('before', incoming, body)) return void incoming.socket.destroy();
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const { method, headers } = incoming;
      const { host: _host, ...kept } = headers;
      const options = { agent, headers: kept, ...(method !== undefined && { method }) };
      request(new URL(incoming.url ?? '/', upstream), options, resolve)
        .once('error', reject)
        .end(body);
    });
    const said = await whole(answer);
    if (fits('after', incoming, body)) return void incoming.socket.destroy();
    const type = answer.headers['content-type'];
    outgoing.writeHead(answer.statusCode ?? 502, { ...(type !== undefined && { 'content-type': type }) });
    outgoing.end(said);
  }

  for (const { cluster } of config.clusters) {
    const upstream = cluster.server;
    const agent = new Agent({ ca: Buffer.from(cluster['certificate-authority-data'], 'base64') });
    const server = createServer({ cert: shown.certificate, key: shown.key }, (incoming, outgoing) => {
      // The client sees a closed connection.
      pass(upstream, agent, incoming, outgoing).catch(() => incoming.socket.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    agents.push(agent);
    cluster.server = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    cluster['certificate-authority-data'] = Buffer.from(authority.certificate).toString('base64');
  }
  await writeFile(target, JSON.stringify(config), { mode: 0o600 });
  return {
    arm: (cut, act) => {
      armed = { cut, act, done: false };
    },
    disarm: () => {
      const done = armed?.done ?? false;
      armed = undefined;
      return done;
    },
    [Symbol.asyncDispose]: async () => {
      for (const agent of agents) agent.destroy();
      await Promise.all(
        servers.map(
          (server) =>
            new Promise<void>((resolve) => {
              server.close(() => resolve());
              server.closeAllConnections();
            }),
        ),
      );
    },
  };
}

async function whole(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
