/** Cached Tunnels, together with writes that the cache does not have yet. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { WrittenTunnels } from '../../../daemon/fabric/controller/written-tunnels.ts';
import { systemClock } from '../../../shared/time.ts';
import type { ChangeHandler } from '../../../daemon/kube/index.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import type { Tunnel } from '../../../shared/api/network.ts';

const test = suite('written tunnels');

const tunnel = (name: string, uid: string, generation: number): Tunnel => ({
  apiVersion,
  kind: 'Tunnel',
  metadata: { name, uid, generation },
  spec: {
    remoteCluster: name,
    consumer: true,
    provider: false,
    remotePodCIDRs: [],
    remoteExternalCIDR: '100.64.0.0/20',
    remoteTunnelEndpoints: [],
    remaps: [],
    remoteRemaps: [],
    mtu: 1420,
    presharedKeyRevision: '',
  },
});

function input() {
  const cached = new Map<string, Tunnel>();
  let handler: ChangeHandler<Tunnel> = () => undefined;
  let now = 0;
  const informer = {
    list: () => [...cached.values()],
    onChange: (given: ChangeHandler<Tunnel>) => ((handler = given), () => undefined),
  };
  const tunnels = new WrittenTunnels(informer, { ...systemClock, monotonic: () => now });
  return {
    tunnels,
    /** Applies an event of the watch. */
    see: (name: string, object: Tunnel | undefined) => {
      const previous = cached.get(name);
      if (object === undefined) cached.delete(name);
      else cached.set(name, object);
      handler(name, object, previous);
    },
    pass: (milliseconds: number) => (now += milliseconds),
    shown: () =>
      tunnels
        .list()
        .map(({ metadata }) => `${metadata.name} ${metadata.uid} ${metadata.generation}`)
        .sort(),
  };
}

test('a write is visible before the cache has it, and replaces the cached object', () => {
  const { tunnels, see, shown } = input();
  see('a', tunnel('a', 'u1', 1));
  tunnels.note(tunnel('a', 'u1', 2));
  tunnels.note(tunnel('b', 'u2', 1));
  assert.equal(shown(), ['a u1 2', 'b u2 1']);
});

test('the cached object is used as soon as it is as new', () => {
  const { tunnels, see, shown } = input();
  tunnels.note(tunnel('a', 'u1', 2));
  see('a', tunnel('a', 'u1', 1));
  assert.equal(shown(), ['a u1 2']);
  see('a', tunnel('a', 'u1', 3));
  assert.equal(shown(), ['a u1 3']);
});

test('a deleted Tunnel is gone, and a recreated one is a new object', () => {
  const { tunnels, see, shown } = input();
  see('a', tunnel('a', 'u1', 1));
  tunnels.note(tunnel('a', 'u1', 2));
  see('a', undefined);
  assert.equal(shown(), []);
  tunnels.note(tunnel('a', 'u2', 1));
  see('a', tunnel('a', 'u2', 1));
  assert.equal(shown(), ['a u2 1']);
});

test('a write whose deletion was missed expires', () => {
  const { tunnels, pass, shown } = input();
  tunnels.note(tunnel('a', 'u1', 1));
  pass(6_000);
  assert.equal(shown(), []);
});

test.run();
