/** Lists and watches one collection of an API server until aborted, and keeps its objects. */
import { request } from 'node:https';
import type { Agent } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { askApi } from '../https.ts';
import type { ApiAccess } from '../https.ts';
import { sleep } from '../run.ts';

interface KubernetesObject {
  metadata: { namespace?: string; name: string; resourceVersion?: string };
}

/** Bookmarks arrive about once a minute; a connection that is silent for longer than this is dead. */
const silenceMilliseconds = 150_000;
const firstPauseMilliseconds = 100;
const longestPauseMilliseconds = 5_000;
/** An object has at most 1.5 MiB in etcd; a longer line than this is no event. */
const lineLimit = 16 * 1024 * 1024;

export interface Collection<T> {
  /** False until the first list. */
  listed: boolean;
  objects: Map<string, T>;
}

/** Runs until the signal is aborted. `changed` is called after every change of `collection`. */
export async function follow<T extends KubernetesObject>(
  access: ApiAccess,
  agent: Agent,
  path: string,
  collection: Collection<T>,
  changed: () => void,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  let pause = firstPauseMilliseconds;
  while (!signal.aborted) {
    try {
      const answer = await askApi(access, 'GET', path, { agent, signal });
      if (answer.status !== 200) throw new Error(`list was answered with ${answer.status}`);
      const list = JSON.parse(answer.body) as { metadata: { resourceVersion: string }; items: T[] };
      collection.objects = new Map(list.items.map((object) => [keyOf(object), object]));
      collection.listed = true;
      pause = firstPauseMilliseconds;
      changed();
      await watch(access, agent, path, list.metadata.resourceVersion, collection, changed, signal);
    } catch (error) {
      if (signal.aborted) return;
      log(`${path}: ${(error as Error).message}; trying again`);
    }
    await sleep(pause, signal).catch(() => undefined);
    pause = Math.min(pause * 2, longestPauseMilliseconds);
  }
}

function keyOf(object: KubernetesObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

async function watch<T extends KubernetesObject>(
  access: ApiAccess,
  agent: Agent,
  path: string,
  resourceVersion: string,
  collection: Collection<T>,
  changed: () => void,
  signal: AbortSignal,
): Promise<void> {
  const query = `watch=1&allowWatchBookmarks=true&resourceVersion=${encodeURIComponent(resourceVersion)}`;
  const response = await openStream(access, agent, `${path}?${query}`, signal);
  let rest = '';
  response.setEncoding('utf8');
  for await (const chunk of response) {
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > lineLimit) throw new Error('an event is too long');
    for (const line of lines) {
      const event = JSON.parse(line) as { type: string; object: T & { message?: string } };
      if (event.type === 'ERROR')
        throw new Error(`watch ended: ${event.object.message ?? 'no reason given'}`);
      if (event.type === 'BOOKMARK') continue;
      if (event.type === 'DELETED') collection.objects.delete(keyOf(event.object));
      else collection.objects.set(keyOf(event.object), event.object);
      changed();
    }
  }
}

function openStream(
  access: ApiAccess,
  agent: Agent,
  path: string,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, access.url),
      { agent, signal, timeout: silenceMilliseconds, headers: { accept: 'application/json' } },
      (response) => {
        if (response.statusCode === 200) {
          resolve(response);
          return;
        }
        response.resume();
        reject(new Error(`watch was answered with ${response.statusCode}`));
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('silent for too long')));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
