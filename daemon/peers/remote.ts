/**
 * Clients of the providers' API servers, one per peering, created from the identities in Secrets. A renewed token is used
 * from the next request on; a new address or CA creates a new client. Shared by all features of a process.
 */
import { secrets } from '../../shared/names.ts';
import { linked, type Linked } from '../../shared/time.ts';
import { connectKube, fromIdentity, type NodeKubeClient } from '../clients/kubernetes/index.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Source } from '../kube/controller.ts';
import { createByteBudget } from '../../shared/kube/byte-budget.ts';
import { createInformer, type Informer } from '../../shared/kube/informer.ts';
import { collectionPath, kind, type AnyObject, type KindRef } from '../../shared/kube/refs.ts';
import { measureReachability, type Reachability } from './reachability.ts';
import { parseIdentity, type StoredIdentity } from './stored-identity.ts';
import type { Secret } from '../../shared/kube/types.ts';

/** A provider's API server, as its consumer reaches it. */
export interface Remote {
  /** Name of the OutgoingPeering. */
  readonly peering: string;
  readonly tenantNamespace: string;
  readonly client: NodeKubeClient;
  readonly reachability: Reachability;
  /** The informer of a kind in one namespace there; it runs from the first call until `forget`. */
  informer<T extends AnyObject>(kind: KindRef<T>, selection: RemoteSelection): Informer<T>;
  /** Stops the informers of a namespace. */
  forget(namespace: string): void;
}

export interface RemoteSelection {
  namespace: string;
  labelSelector?: string;
}

/** Receives every change in any informer of any remote; an undefined object means deleted. */
export type RemoteChange = (
  remote: Remote,
  object: AnyObject | undefined,
  previous: AnyObject | undefined,
) => void;

export interface RemoteClients {
  /** Undefined while the peering has no identity. */
  get(peering: string): Remote | undefined;
  list(): readonly Remote[];
  /** Called when an identity is added, changed or deleted, when reachability changes, and when one of its informers has synced. */
  onRemote(handler: (peering: string) => void): () => void;
  onObject(handler: RemoteChange): () => void;
  /** Resolves when the existing identities have been read. */
  synced(signal: AbortSignal): Promise<void>;
}

/** Five kinds in four hundred namespaces. Further twin namespaces of a provider are not watched, which is logged. */
const mostInformers = 2_000;
/** Maximum number of objects of one kind in one namespace, more than any twin namespace needs. */
const mostObjects = 20_000;
/**
 * Maximum bytes of all objects of one provider, as JSON. Objects beyond it are not cached, so that one provider cannot affect
 * the other peerings of this process. Ten thousand pods with their records take a third of it.
 */
const mostBytes = 64 << 20;

const shared = new WeakMap<ControllerContext, RemoteClients>();

/** The remote clients of this process; the first call creates them, and they live until its signal is aborted. */
export function remoteClients(context: ControllerContext, signal: AbortSignal): RemoteClients {
  const present = shared.get(context);
  if (present !== undefined) return present;
  const made = createRemoteClients(context, signal);
  shared.set(context, made);
  signal.addEventListener('abort', () => shared.delete(context), { once: true });
  return made;
}

/** Keys for a controller from changes of remote objects. */
export function fromRemoteObjects<T extends AnyObject>(
  remotes: RemoteClients,
  kindRef: KindRef<T>,
  keys: (remote: Remote, object: T) => readonly string[],
): Source {
  return {
    subscribe: (enqueue) =>
      remotes.onObject((remote, object, previous) => {
        for (const each of [object, previous]) {
          if (each?.kind !== kindRef.kind || each.apiVersion !== kindRef.apiVersion) continue;
          for (const key of keys(remote, each as T)) enqueue(key);
        }
      }),
    synced: () => Promise.resolve(),
  };
}

/** Keys for a controller when a remote is added or removed, or changes its reachability. */
export function fromRemotes(remotes: RemoteClients, keys: (peering: string) => readonly string[]): Source {
  return {
    subscribe: (enqueue) =>
      remotes.onRemote((peering) => {
        for (const key of keys(peering)) enqueue(key);
      }),
    synced: (signal) => remotes.synced(signal),
  };
}

interface Held {
  remote: Remote & { reachability: Reachability };
  identity: StoredIdentity;
  controller: Linked;
  informers: Map<string, { informer: Informer; namespace: string; controller: Linked }>;
  probeNow: () => void;
}

function createRemoteClients(context: ControllerContext, signal: AbortSignal): RemoteClients {
  const { log, clock } = context;
  const prefix = secrets.identity('');
  const held = new Map<string, Held>();
  const remoteHandlers = new Set<(peering: string) => void>();
  const objectHandlers = new Set<RemoteChange>();
  const tell = (peering: string) => {
    for (const handler of remoteHandlers) handler(peering);
  };

  const make = (peering: string, first: StoredIdentity): Held => {
    const controller = linked(signal);
    const client = connectKube(
      fromIdentity(
        {
          apiServerURL: first.apiServerURL,
          caBundle: first.caBundle,
          tlsServerName: first.tlsServerName,
          token: () => entry.identity.token,
        },
        // The tunnel is never reached through a proxy, whatever HTTPS_PROXY is.
        first.inBand === true ? {} : process.env,
      ),
      // A peer's answers have tighter bounds than those of the own API server.
      {
        timeoutMilliseconds: 15_000,
        maximumBytes: 16 << 20,
        maximumPageBytes: 8 << 20,
        maximumListBytes: mostBytes,
      },
    );
    const informers: Held['informers'] = new Map();
    const budget = createByteBudget(mostBytes);
    const remote: Held['remote'] = {
      peering,
      tenantNamespace: first.tenantNamespace,
      client,
      reachability: { state: 'Unknown', since: clock.now(), message: 'no probe was sent yet' },
      informer<T extends AnyObject>(kindRef: KindRef<T>, selection: RemoteSelection): Informer<T> {
        const key = JSON.stringify([
          kindRef.apiVersion,
          kindRef.kind,
          selection.namespace,
          selection.labelSelector,
        ]);
        const present = informers.get(key);
        if (present !== undefined) return present.informer as Informer<T>;
        if (informers.size >= mostInformers) {
          throw new RangeError(`peering ${peering}: more than ${mostInformers} watches at one provider`);
        }
        const informer = createInformer<T>(client, kindRef, {
          ...selection,
          maximumObjects: mostObjects,
          budget,
          log: log.with({ peering }),
          clock,
        });
        const ending = linked(controller.signal);
        informers.set(key, { informer, namespace: selection.namespace, controller: ending });
        informer.onChange((_key, object, previous) => {
          for (const handler of objectHandlers) handler(remote, object, previous);
        });
        informer.synced(ending.signal).then(
          () => tell(peering),
          () => undefined,
        );
        void informer.run(ending.signal);
        return informer;
      },
      forget(namespace) {
        for (const [key, each] of informers) {
          if (each.namespace !== namespace || namespace === remote.tenantNamespace) continue;
          each.controller.abort(new Error('no longer needed'));
          informers.delete(key);
        }
      },
    };
    const entry: Held = { remote, identity: first, controller, informers, probeNow: () => undefined };
    entry.probeNow = measureReachability(
      {
        client,
        // A request that every identity may make.
        path: `${collectionPath(kind.twinNamespace, remote.tenantNamespace)}?limit=1`,
        clock,
        report(reachability) {
          remote.reachability = reachability;
          const { state, message } = reachability;
          if (state === 'Reachable') for (const { informer } of informers.values()) reconnectIfLost(informer);
          log.info('reachability of a provider’s API server changed', { peering, state, detail: message });
          tell(peering);
        },
      },
      controller.signal,
    );
    return entry;
  };

  const drop = (peering: string, why: string) => {
    const entry = held.get(peering);
    if (entry === undefined) return;
    held.delete(peering);
    entry.controller.abort(new Error(why));
    entry.remote.client.close();
  };

  const take = (secret: Secret) => {
    const peering = secret.metadata.name.slice(prefix.length);
    const next = parseIdentity(secret);
    if (next === undefined) {
      log.warn('a stored identity is malformed; the provider is asked for a new one at the next renewal', {
        peering,
      });
      return;
    }
    const entry = held.get(peering);
    const same =
      entry !== undefined &&
      (['apiServerURL', 'caBundle', 'tlsServerName', 'tenantNamespace', 'inBand'] as const).every(
        (field) => entry.identity[field] === next[field],
      );
    if (same) {
      const renewed = entry.identity.token !== next.token;
      entry.identity = next;
      if (!renewed) return;
      for (const { informer } of entry.informers.values()) reconnectIfLost(informer);
      entry.probeNow();
      return;
    }
    drop(peering, 'the connection parameters of the provider changed');
    held.set(peering, make(peering, next));
    tell(peering);
  };

  const identities = context.informer(kind.secret, { namespace: context.namespace });
  const stop = identities.onChange((_key, secret, previous) => {
    const name = (secret ?? previous)?.metadata.name ?? '';
    if (!name.startsWith(prefix)) return;
    if (secret !== undefined) {
      take(secret);
    } else {
      const peering = name.slice(prefix.length);
      drop(peering, 'the identity was deleted');
      tell(peering);
    }
  });
  signal.addEventListener(
    'abort',
    () => {
      stop();
      for (const peering of held.keys()) drop(peering, 'ending');
    },
    { once: true },
  );

  return {
    get: (peering) => held.get(peering)?.remote,
    list: () => [...held.values()].map((entry) => entry.remote),
    onRemote(handler) {
      remoteHandlers.add(handler);
      for (const peering of held.keys()) handler(peering);
      return () => remoteHandlers.delete(handler);
    },
    onObject(handler) {
      objectHandlers.add(handler);
      for (const { remote, informers } of held.values()) {
        for (const { informer } of informers.values()) {
          for (const object of informer.list()) handler(remote, object, undefined);
        }
      }
      return () => objectHandlers.delete(handler);
    },
    synced: (waiting) => identities.synced(waiting),
  };
}

function reconnectIfLost(informer: Informer): void {
  if (informer.failure !== undefined) informer.reconnect();
}
