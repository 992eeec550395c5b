/** From what a node watches to its plan: which key it uses, which endpoint of a remote it calls, and the rest. */
import type { Log } from '../../kube/index.ts';
import type { Clock } from '../../../shared/time.ts';
import { EndpointChoice } from './address-choice.ts';
import type { EndpointResolver } from './address-resolver.ts';
import { chooseNodeKey, readPresharedKeys, type NodeKey } from '../node-key.ts';
import { planNode, type NodePlan } from '../plan/node-plan.ts';
import type { NodeSources } from './sources.ts';
import type { Progress } from './status.ts';
import type { DeviceStatus } from '../ports.ts';
import { readWorld } from './read-input.ts';
import { generateTunnelKey } from '../tunnel-keys.ts';

export interface PlannerOptions {
  nodeName: string;
  nodeAddress: string;
  /** Hawser's. */
  namespace: string;
  /** Whom this node asks for names. */
  nameservers: readonly string[];
  sources: NodeSources;
  resolver: Pick<EndpointResolver, 'get' | 'keep'>;
  deviceStatus: () => DeviceStatus | null;
  /** Why an assigned slot is another node's by now, as far as this one can know. */
  slotLost: () => string | undefined;
  progress: Progress;
  clock: Clock;
  log: Log;
}

/** How long the first plan waits for what a gateway must know. */
const patienceMilliseconds = 5_000;

export class NodePlanner {
  readonly #options: PlannerOptions;
  readonly #nodeKey = generateTunnelKey();
  readonly #endpoints = new EndpointChoice();
  #inUse: NodeKey = { key: this.#nodeKey };
  #patienceUntil: number | undefined;
  underlayMTU = 1500;

  constructor(options: PlannerOptions) {
    this.#options = options;
  }

  /** The key of the last plan, and the slot that it belongs to. */
  get key(): NodeKey {
    return this.#inUse;
  }

  /**
   * Whether a first plan can be made: one without the slot that this node is to hold would have to be taken back.
   *
   * @param again called when it is time to ask again, though nothing changed
   */
  knowsEnough(again: () => void): boolean {
    const { sources, nodeName, clock } = this.#options;
    if (!sources.hasSynced()) return false;
    const assigned = sources.fabricNodes.byKey(nodeName)?.spec.slot;
    sources.setSlot(assigned);
    if (assigned === undefined || sources.gatewaySynced()) return true;
    this.#patienceUntil ??= clock.now() + patienceMilliseconds;
    if (clock.now() >= this.#patienceUntil) return true;
    clock.after(this.#patienceUntil - clock.now(), again);
    return false;
  }

  /** Whether a remote with several endpoints is being looked for, so that time alone changes the plan. */
  get triesEndpoints(): boolean {
    const { sources } = this.#options;
    if (this.#inUse.slot === undefined) return false;
    return sources.tunnels
      .list()
      .some(({ spec }) => spec.remoteSlots.some(({ endpoints }) => endpoints.length > 1));
  }

  plan(): NodePlan {
    const { nodeName, nodeAddress, sources, resolver } = this.#options;
    this.#chooseKey();
    const { key, slot } = this.#inUse;
    const gateway = slot === undefined ? undefined : sources.gateway();
    const tunnels = sources.tunnels.list();
    const slots = tunnels.flatMap(({ spec }) => spec.remoteSlots);
    resolver.keep(new Set(slots.flatMap(({ endpoints }) => endpoints)));
    this.#endpoints.keep(new Set(slots.map(({ publicKey }) => publicKey)));
    return planNode(
      readWorld(
        {
          localCluster: sources.localClusters.byKey('self'),
          fabricNodes: sources.fabricNodes.list(),
          tunnels,
          pods: (gateway?.pods ?? sources.pods()).list(),
          twinNamespaces: gateway?.twinNamespaces.list() ?? [],
          incomingPeerings: gateway?.incomingPeerings.list() ?? [],
          outgoingPeerings: gateway?.outgoingPeerings.list() ?? [],
          lentAddresses: gateway?.lentAddresses.list() ?? [],
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
          ...(slot !== undefined && { slot }),
        },
        readPresharedKeys(gateway?.tunnelKeys.list()[0]),
        this.#endpointOf(),
      ),
    );
  }

  #chooseKey(): void {
    const { nodeName, sources, slotLost, progress, log } = this.#options;
    const assigned = sources.fabricNodes.byKey(nodeName)?.spec.slot;
    sources.setSlot(assigned);
    const secret = sources.gateway()?.slotKey.list()[0];
    const before = this.#inUse;
    const lost = slotLost();
    this.#inUse =
      lost === undefined
        ? chooseNodeKey(this.#nodeKey, before, assigned, secret, sources.gatewaySynced())
        : { key: this.#nodeKey, waiting: lost };
    const { slot, waiting } = this.#inUse;
    if (slot !== before.slot) {
      log.info(slot === undefined ? 'no longer holding a slot' : 'holding a slot', { slot });
    }
    if (waiting === undefined) delete progress.slotWaiting;
    else progress.slotWaiting = waiting;
  }

  /** A function that says where a remote slot is called now. */
  #endpointOf() {
    const { resolver, deviceStatus, clock } = this.#options;
    const established = new Map(deviceStatus()?.peers.map((peer) => [peer.publicKey, peer.established]));
    return ({ publicKey, endpoints }: { publicKey: string; endpoints: readonly string[] }) =>
      this.#endpoints.pick(
        publicKey,
        endpoints.flatMap((endpoint) => resolver.get(endpoint) ?? []),
        established.get(publicKey) ?? false,
        clock.now(),
      );
  }
}
