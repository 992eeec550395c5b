/** Composition of network documents, with a property: two clusters that exchange documents converge. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { composeDocument, holdsOurs } from '../../../daemon/peering/compose-document.ts';
import { newerDocument } from '../../../daemon/peering/remote-clusters.ts';
import type { Tunnel } from '../../../shared/api/network.ts';
import { signNetworkDocument } from '../../../shared/trust/network-documents.ts';
import {
  contentGeneration,
  networkDocument,
  type NetworkDocument,
} from '../../../shared/wire/network-document.ts';
import { keyOf } from '../../shared/trust/keys.ts';

const documents = suite('network documents');
const status = (id: string) => ({
  clusterID: id,
  podCIDRs: ['10.244.0.0/16'],
  externalCIDR: '100.64.16.0/20',
  mtu: 1420,
  tunnelEndpoints: [],
});
const tunnel = (mapped: string): Tunnel =>
  ({
    spec: {
      mtu: 1400,
      remaps: [
        { real: '10.244.0.0/16', mapped, state: 'InUse' },
        { real: 'x', mapped: 'y', state: 'Draining' },
      ],
    },
  }) as unknown as Tunnel;
interface Side {
  id: string;
  own: NetworkDocument | undefined;
  theirs: NetworkDocument | undefined;
  tunnel: Tunnel | undefined;
  composed: number;
}
function step(side: Side, recipient: string, now: number): boolean {
  const result = composeDocument({
    local: status(side.id),
    publicKey: Buffer.alloc(32, 1).toString('base64'),
    recipient,
    previous: side.own,
    remote: side.theirs,
    tunnel: side.tunnel,
    offer: {},
    newSalt: () => Buffer.alloc(32, side.id).toString('base64'),
    now,
  });
  assert.ok('document' in result);
  if (!('document' in result) || !result.changed) return false;
  assert.ok(networkDocument.safeParse(result.document).success);
  assert.ok(result.document.generation > (side.own?.generation ?? 0));
  side.own = result.document;
  side.composed++;
  return true;
}
function converge(a: Side, b: Side, now: number): void {
  for (let round = 0; round < 20; round++) {
    const moved = [step(a, b.id, now), step(b, a.id, now)];
    a.theirs = b.own;
    b.theirs = a.own;
    if (!moved.includes(true)) return;
  }
  throw new Error('they do not converge');
}
documents('Service ranges are declared if they are known', () => {
  const declared = (serviceCIDRs: string[] | undefined) => {
    const result = composeDocument({
      local: { ...status('a'), ...(serviceCIDRs && { serviceCIDRs }) },
      publicKey: Buffer.alloc(32, 1).toString('base64'),
      recipient: 'b',
      previous: undefined,
      remote: undefined,
      tunnel: undefined,
      offer: {},
      newSalt: () => Buffer.alloc(32, 1).toString('base64'),
      now: 1000,
    });
    return 'document' in result ? networkDocument.parse(result.document).serviceCIDRs : assert.unreachable();
  };
  assert.is(declared(undefined), undefined);
  assert.is(declared([]), undefined);
  assert.equal(declared(['10.96.0.0/12']), ['10.96.0.0/12']);
});
documents('the last written document counts, even if the cache is stale', () => {
  const side: Side = { id: 'a', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  const sign = (now: number) => {
    step(side, 'b', now);
    return signNetworkDocument(side.own!, keyOf(1));
  };
  const first = sign(1000);
  side.tunnel = tunnel('10.128.0.0/16');
  const second = sign(1000);
  assert.is(newerDocument(undefined, undefined), undefined);
  assert.is(newerDocument(first, undefined), first);
  assert.is(newerDocument(undefined, first), first);
  assert.is(newerDocument(first, second), second, 'the cache is stale');
  assert.is(newerDocument(second, first), second, 'another writer came later');
});
documents('two clusters that exchange documents converge, each knowing that the other has its own', () => {
  const a: Side = { id: 'a', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  const b: Side = { id: 'b', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  converge(a, b, 1000);
  const held = () =>
    holdsOurs(a.own!, a.theirs, 0) && holdsOurs(b.own!, b.theirs, 0) && a.composed + b.composed;
  assert.ok(held());
  assert.ok(a.composed <= 3 && b.composed <= 3, `${a.composed} and ${b.composed}`);
  // With tunnels, a later generation declares the remaps, and both converge again.
  a.tunnel = tunnel('10.128.0.0/16');
  b.tunnel = tunnel('10.129.0.0/16');
  converge(a, b, 2000);
  assert.ok(held());
  assert.equal(a.own?.remaps, [{ real: '10.244.0.0/16', mapped: '10.128.0.0/16' }]);
  const before = [a.own?.generation, b.own?.generation, a.composed, b.composed];
  converge(a, b, 9000);
  assert.equal([a.own?.generation, b.own?.generation, a.composed, b.composed], before);
  assert.is(a.own?.salt, Buffer.alloc(32, 'a').toString('base64'));
});
documents('after losing its document a cluster composes a higher generation than the other has', () => {
  const a: Side = { id: 'a', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  const b: Side = { id: 'b', own: undefined, theirs: undefined, tunnel: undefined, composed: 0 };
  converge(a, b, 100_000_000);
  const highest = a.own?.generation ?? 0;
  a.own = undefined;
  step(a, 'b', 101_000_000);
  assert.ok((a.own as unknown as NetworkDocument).generation > highest);
});
documents('a missing or wrong contentGeneration counts as the generation', () => {
  const document = { generation: 7 } as NetworkDocument;
  assert.is(contentGeneration(document), 7);
  assert.is(contentGeneration({ ...document, contentGeneration: 9 }), 7);
  assert.is(contentGeneration({ ...document, contentGeneration: 3 }), 3);
});
documents('a missing part of the own description is named', () => {
  const base = {
    publicKey: Buffer.alloc(32, 1).toString('base64'),
    recipient: 'b',
    previous: undefined,
    remote: undefined,
    tunnel: undefined,
    offer: {},
    newSalt: () => '',
    now: 0,
  };
  assert.match(
    JSON.stringify(composeDocument({ ...base, local: { ...status('a'), podCIDRs: [] } })),
    /spec\.podCIDRs/,
  );
});
documents('a remote that acknowledges the highest generation does not block further documents', () => {
  const claims = (acknowledges: number) => {
    const theirs = { acknowledges, generation: 1 } as NetworkDocument;
    const side: Side = { id: 'a', own: undefined, theirs, tunnel: undefined, composed: 0 };
    assert.ok(step(side, 'remote', 1_800_000_000_000));
    return side.own?.generation;
  };
  assert.is(claims(Number.MAX_SAFE_INTEGER), 1_800_000_000);
  assert.is(claims(1_900_000_000), 1_900_000_001);
  assert.is(claims(7), 1_800_000_000);
});
documents.run();
