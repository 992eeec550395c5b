/** Plans from a node's caches: which key it uses, which address of a remote endpoint it sends to, and the rest. */
import type { Log } from '../../kube/index.ts';
import type { Clock } from '../../../shared/time.ts';
import { EndpointChoice } from './address-choice.ts';
import type { EndpointResolver } from './address-resolver.ts';
import { chooseNodeKey, readPresharedKeys, type NodeKey } from '../node-key.ts';
import { planNode, type NodePlan } from '../plan/node-plan.ts';
import type { NodeSources } from './sources.ts';
import type { Progress } from './status.ts';
import type { DeviceStatus } from '../ports.ts';
import { readInput } from './read-input.ts';
import { generateTunnelKey } from '../tunnel-keys.ts';

export interface PlannerOptions {
  nodeName: string;
  nodeAddress: string;
  /** Hawser's namespace. */
  namespace: string;
  /** DNS servers of this node. */
  nameservers: readonly string[];
  /** Addresses of the API server as this node reaches it. */
  apiServer: () => readonly string[];
  sources: NodeSources;
  resolver: Pick<EndpointResolver, 'get' | 'keep'>;
  deviceStatus: () => DeviceStatus | null;
  /** Why an assigned tunnel endpoint may be another node's by now. */
  endpointLost: () => string | undefined;
  progress: Progress;
  clock: Clock;
  log: Log;
}

/** How long the first plan waits for the caches of a gateway node. */
const graceMilliseconds = 5_000;

export class NodePlanner {
  readonly #options: PlannerOptions;
  readonly #nodeKey = generateTunnelKey();
  readonly #endpoints = new EndpointChoice();
  #inUse: NodeKey = { key: this.#nodeKey };
  #graceUntil: number | undefined;
  underlayMTU = 1500;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  /** The key of the last plan, and the tunnel endpoint that it belongs to. */
  get key(): NodeKey {
    return this.#inUse;
  }

  /**
   * Whether the first plan can be made: one without the tunnel endpoint that this node is assigned would be replaced at once.
   *
   * @param again called when the answer may have changed by time alone
   */
  knowsEnough(again: () => void): boolean {
    const { sources, nodeName, clock } = this.#options;
    if (!sources.hasSynced()) return false;
    const assigned = sources.fabricNodes.byKey(nodeName)?.spec.tunnelEndpoint;
    sources.setEndpoint(assigned);
    if (assigned === undefined || sources.gatewaySynced()) return true;
    this.#graceUntil ??= clock.monotonic() + graceMilliseconds;
    if (clock.monotonic() >= this.#graceUntil) return true;
    clock.after(this.#graceUntil - clock.monotonic(), again);
    return false;
  }

  /** Whether the address of a remote with several of them is still being tried, so that time alone can change the plan. */
  get triesEndpoints(): boolean {
    const { sources, resolver } = this.#options;
    if (this.#inUse.tunnelEndpoint === undefined) return false;
    return sources.tunnels
      .list()
      .some(({ spec }) =>
        spec.remoteTunnelEndpoints.some(
          ({ addresses }) => addresses.flatMap((endpoint) => resolver.get(endpoint)).length > 1,
        ),
      );
  }

  plan(): NodePlan {
    const { nodeName, nodeAddress, sources, resolver } = this.#options;
    this.#chooseKey();
    const { key, tunnelEndpoint } = this.#inUse;
    const gateway = tunnelEndpoint === undefined ? undefined : sources.gateway();
    const tunnels = sources.tunnels.list();
    const tunnelEndpoints = tunnels.flatMap(({ spec }) => spec.remoteTunnelEndpoints);
    resolver.keep(new Set(tunnelEndpoints.flatMap(({ addresses }) => addresses)));
    this.#endpoints.keep(new Set(tunnelEndpoints.map(({ publicKey }) => publicKey)));
    return planNode(
      readInput(
        {
          localCluster: sources.localClusters.byKey('self'),
          fabricNodes: sources.fabricNodes.list(),
          tunnels,
          pods: (gateway?.pods ?? sources.pods()).list(),
          twinNamespaces: gateway?.twinNamespaces.list() ?? [],
          incomingPeerings: gateway?.incomingPeerings.list() ?? [],
          outgoingPeerings: gateway?.outgoingPeerings.list() ?? [],
          addressMappings: gateway?.addressMappings.list() ?? [],
          node: sources.node.byKey(nodeName),
          ...sources.tenants(),
        },
        {
          name: nodeName,
          address: nodeAddress,
          namespace: this.#options.namespace,
          publicKey: key.publicKey,
          underlayMTU: this.underlayMTU,
          nameservers: this.#options.nameservers,
          apiServer: this.#options.apiServer(),
          ...(tunnelEndpoint !== undefined && { tunnelEndpoint }),
        },
        readPresharedKeys(gateway?.tunnelKeys.list()[0]),
        this.#endpointOf(),
      ),
    );
  }

  #chooseKey(): void {
    const { nodeName, sources, endpointLost, progress, log } = this.#options;
    const assigned = sources.fabricNodes.byKey(nodeName)?.spec.tunnelEndpoint;
    sources.setEndpoint(assigned);
    const secret = sources.gateway()?.endpointKey.list()[0];
    const before = this.#inUse;
    const lost = endpointLost();
    this.#inUse =
      lost === undefined
        ? chooseNodeKey(this.#nodeKey, before, assigned, secret, sources.gatewaySynced())
        : { key: this.#nodeKey, waiting: lost };
    const { tunnelEndpoint, waiting } = this.#inUse;
    if (tunnelEndpoint !== before.tunnelEndpoint) {
      log.info(
        tunnelEndpoint === undefined ? 'no longer holds the tunnel endpoint' : 'holds the tunnel endpoint',
        { tunnelEndpoint },
      );
    }
    if (waiting === undefined) delete progress.endpointWaiting;
    else progress.endpointWaiting = waiting;
  }

  /** A function that returns the current address of a remote tunnel endpoint. */
  #endpointOf() {
    const { resolver, deviceStatus, clock } = this.#options;
    const established = new Map(deviceStatus()?.peers.map((peer) => [peer.publicKey, peer.established]));
    return ({ publicKey, addresses }: { publicKey: string; addresses: readonly string[] }) =>
      this.#endpoints.pick(
        publicKey,
        addresses.flatMap((endpoint) => resolver.get(endpoint)),
        established.get(publicKey) ?? false,
        clock.monotonic(),
      );
  }
}
