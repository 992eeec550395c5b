/**
 * A relay before the API servers of a kubeconfig, so that a command can be cut off at an exact request: before it has reached
 * the API server, or after it was done but before the command could hear of it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { newAuthority, newLeaf } from '../testbed/certificate.ts';

export interface Cut {
  method: string;
  /** Of the request's path, and of its body. */
  path: RegExp;
  body?: RegExp;
  when: 'before' | 'after';
}

export interface CuttingRelay extends AsyncDisposable {
  /** At the next request that fits, once, `act` is called and the connection dies; nothing passes from then on. */
  arm(cut: Cut, act: () => void): void;
  /** Lets everything pass again. Says whether the cut came. */
  disarm(): boolean;
}

interface Config {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
}

/** Writes `target`: the kubeconfig `source` with a relay of this process before each of its API servers. */
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
      // Whoever asked sees a connection that ends.
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
