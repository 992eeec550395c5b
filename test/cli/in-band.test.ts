/** The objects that in-band commands write, and the outdated values that they report, as tables. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { differencesOf, documentDifferences, givenOnce } from '../../cli/in-band/differences.ts';
import { endpointOf, type Side, type Sides } from '../../cli/in-band/sides.ts';
import {
  changesOf,
  isNewer,
  isSettled,
  leadsTo,
  newRemote,
  refusalOf,
  requestsOf,
} from '../../cli/in-band/requests.ts';
import type { Invocation } from '../../cli/command.ts';
import type { Kube } from '../../cli/kube.ts';
import { remoteCluster, type RemoteCluster, type SignedDocument } from '../../shared/api/clusters.ts';
import { ClusterKey } from '../../shared/trust/cluster-key.ts';
import { signSuccession } from '../../shared/trust/key-succession.ts';
import type { NetworkDocument } from '../../shared/wire/network-document.ts';
import { hawser } from './run-cli.ts';

const key = (letter: string) => `${letter.repeat(43)}=`;
const side = (name: Side['name'], clusterID: string, publicKey: string): Side => ({
  name,
  kube: {} as Kube,
  clusterID,
  publicKey,
  status: { gatewayPin: 'ab'.repeat(32), gatewayPinSince: '2026-01-01T00:00:00.000Z' },
});
const sides: Sides = {
  consumer: side('consumer', 'west', key('w')),
  provider: side('provider', 'east', key('e')),
};
const now = Date.parse('2026-01-01T00:00:00Z');
const none = { provider: undefined, consumer: undefined };

const document = (from: string, to: string, more: Partial<NetworkDocument> = {}): NetworkDocument => ({
  version: 1,
  clusterID: from,
  recipient: to,
  generation: 7,
  requires: [],
  podCIDRs: ['10.244.0.0/16'],
  externalCIDR: '100.64.16.0/20',
  mtu: 1420,
  tunnelEndpoints: [{ name: '0', publicKey: key('s'), addresses: ['198.51.100.7:7470'] }],
  remaps: [{ real: '10.244.0.0/16', mapped: '10.128.0.0/16' }],
  salt: key('S'),
  acknowledges: 1,
  ...more,
});
const signed = (content: NetworkDocument): SignedDocument => ({
  payload: Buffer.from(JSON.stringify(content)).toString('base64url'),
  signature: 'not looked at here',
});
const known = (
  of: Side,
  held: NetworkDocument | undefined,
  declares: NetworkDocument | undefined,
  spec: Partial<RemoteCluster['spec']> = {},
): RemoteCluster => ({
  apiVersion: 'hawser.dev/v1alpha1',
  kind: 'RemoteCluster',
  metadata: { name: of.clusterID, generation: 3 },
  spec: {
    clusterID: of.clusterID,
    publicKey: of.publicKey,
    controlPlane: 'OutOfBand',
    ...(held && { networkDocument: signed(held) }),
    ...spec,
  },
  status: {
    ...(declares && { localDocument: signed(declares) }),
    ...(held && { remoteDocumentGeneration: held.generation }),
  },
});

const requests = suite('requests of in-band peering');

requests('the consumer dials in-band, the provider serves in-band, and both requests expire', () => {
  const made = requestsOf(sides, none, now);
  assert.equal(made.consumer, {
    clusterID: 'east',
    publicKey: key('e'),
    controlPlane: 'InBand',
    gatewayPin: 'ab'.repeat(32),
    gatewayPinSince: '2026-01-01T00:00:00.000Z',
    keepTunnelUntil: '2026-01-01T00:15:00Z',
  });
  assert.equal(made.provider, {
    clusterID: 'west',
    publicKey: key('w'),
    controlPlane: 'OutOfBand',
    servesInBand: true,
    keepTunnelUntil: '2026-01-01T00:15:00Z',
  });
  for (const request of [made.consumer, made.provider]) {
    assert.ok(remoteCluster.spec.safeParse(newRemote(request).spec).success);
  }
  const named = requestsOf(sides, { provider: 'vpn.east.example:7470', consumer: undefined }, undefined);
  assert.equal(named.consumer.tunnelAddresses, ['vpn.east.example:7470']);
  assert.is(named.provider.tunnelAddresses, undefined);
  assert.is(named.consumer.keepTunnelUntil, undefined);
});

requests('fields that are up to date are not written again, nor how the provider dials the consumer', () => {
  const { provider, consumer } = requestsOf(sides, none, now);
  assert.is(changesOf(consumer, newRemote(consumer)), undefined);
  const dialled = known(sides.consumer, undefined, undefined, {
    gatewayURL: 'https://198.51.100.1:7443',
    controlPlane: 'InBand',
  });
  assert.equal(changesOf(provider, dialled), {
    servesInBand: true,
    keepTunnelUntil: provider.keepTunnelUntil,
  });
  const later = requestsOf(sides, none, now + 60_000);
  assert.equal(changesOf(later.consumer, newRemote(consumer)), { keepTunnelUntil: '2026-01-01T00:16:00Z' });
});

requests('documents are settled when each side has recorded what the other declares, with remaps', () => {
  const [west, east] = [document('west', 'east'), document('east', 'west')];
  const both = (atConsumer: RemoteCluster, atProvider: RemoteCluster) => isSettled(atConsumer, atProvider);
  assert.ok(both(known(sides.provider, east, west), known(sides.consumer, west, east)));
  assert.not(both(known(sides.provider, undefined, west), known(sides.consumer, west, east)));
  const newer = { ...east, generation: 8 };
  assert.not(both(known(sides.provider, east, west), known(sides.consumer, west, newer)));
  const bare = { ...east, remaps: [] };
  assert.not(both(known(sides.provider, bare, west), known(sides.consumer, west, bare)), 'no tunnel yet');
  const unseen = known(sides.provider, east, west);
  unseen.status = { ...unseen.status, remoteDocumentGeneration: 6 };
  assert.not(both(unseen, known(sides.consumer, west, east)), 'its controller has not seen it');
});

requests('only a newer document replaces another', () => {
  const [old, young] = [
    signed(document('east', 'west')),
    signed(document('east', 'west', { generation: 8 })),
  ];
  assert.ok(isNewer(young, old));
  assert.ok(isNewer(old, undefined));
  assert.not(isNewer(old, young));
  assert.not(isNewer(old, old));
  assert.not(isNewer(undefined, old));
  assert.not(isNewer({ payload: 'bm90IGpzb24', signature: '' }, old));
});

requests('a refusal counts only for the current generation', () => {
  const remote = known(sides.provider, undefined, undefined);
  const condition = {
    type: 'Authenticated',
    status: 'False' as const,
    reason: 'KeyMismatch',
    message: 'not signed by its key',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  };
  remote.status = { conditions: [{ ...condition, observedGeneration: 3 }] };
  assert.is(refusalOf(remote), 'not signed by its key');
  remote.status = { conditions: [{ ...condition, observedGeneration: 2 }] };
  assert.is(refusalOf(remote), undefined);
});

const differences = suite('differences of in-band peering');

differences('a changed field of a document is reported with its recorded and its actual value', () => {
  const held = document('east', 'west');
  const table: [change: Partial<NetworkDocument>, what: string, known: string, actual: string][] = [
    [
      { tunnelEndpoints: [{ name: '0', publicKey: key('s'), addresses: ['203.0.113.9:7470'] }] },
      'endpoint',
      '198.51.100.7:7470',
      '203.0.113.9:7470',
    ],
    [
      { tunnelEndpoints: [{ name: '0', publicKey: key('t'), addresses: ['198.51.100.7:7470'] }] },
      'tunnel key',
      key('s'),
      key('t'),
    ],
    [
      { podCIDRs: ['10.244.0.0/16', '10.245.0.0/16'] },
      'ranges',
      '10.244.0.0/16, 100.64.16.0/20',
      '10.244.0.0/16, 10.245.0.0/16, 100.64.16.0/20',
    ],
    [
      { remaps: [{ real: '10.244.0.0/16', mapped: '10.130.0.0/16' }] },
      'remaps',
      '10.244.0.0/16 → 10.128.0.0/16',
      '10.244.0.0/16 → 10.130.0.0/16',
    ],
    [{ mtu: 1380 }, 'MTU', '1420', '1380'],
    [{ salt: key('T') }, 'salt of the pre-shared key', 'SSSSSS…', 'TTTTTT…'],
    [
      { apiServer: { url: 'https://100.64.16.3:6443', caBundle: 'x' } },
      'API server',
      'nothing',
      'https://100.64.16.3:6443',
    ],
  ];
  for (const [change, ...expected] of table) {
    const found = documentDifferences(held, { ...held, ...change, generation: 8 });
    assert.equal(found[0], expected, expected[0]);
  }
  assert.equal(documentDifferences(held, held), []);
  assert.equal(documentDifferences(held, undefined), []);
  assert.equal(documentDifferences(undefined, held), [['network document', 'none', 'generation 7']]);
  assert.equal(documentDifferences(held, { ...held, generation: 9 }), [
    ['network document', 'generation 7', 'generation 9'],
  ]);
});

differences('both sides are compared, with the pin and a missing record', () => {
  const [west, east] = [document('west', 'east'), document('east', 'west')];
  const wished = requestsOf(sides, none, undefined);
  const good = {
    consumer: known(sides.provider, east, west, { ...wished.consumer }),
    provider: known(sides.consumer, west, east, { ...wished.provider }),
  };
  assert.equal(differencesOf(sides, good, wished), []);
  const moved = { ...west, generation: 8, mtu: 1300 };
  assert.equal(
    differencesOf(
      sides,
      {
        ...good,
        consumer: known(sides.provider, east, moved, { ...wished.consumer, gatewayPin: 'cd'.repeat(32) }),
      },
      wished,
    ).map(({ side: of, what }) => `${of}: ${what}`),
    ['consumer: pin of the API gateway’s certificate', 'provider: MTU'],
  );
  assert.equal(
    differencesOf(sides, { ...good, provider: undefined }, wished).map(({ what }) => what),
    ['the other cluster'],
  );
  const rekeyed = { ...sides, provider: { ...sides.provider, publicKey: key('f') } };
  assert.equal(
    differencesOf(rekeyed, good, requestsOf(rekeyed, none, undefined)).map(({ what }) => what),
    ['cluster key'],
  );
});

differences(
  'a cluster key that the recorded one has signed is followed; with any other key nothing else is compared',
  () => {
    const [first, second] = [1, 2].map((number) => new ClusterKey(new Uint8Array(32).fill(number)));
    assert.ok(first && second);
    const rotated = (signer: ClusterKey) => ({
      ...side('provider', 'east', second.publicKey),
      status: {
        ...sides.provider.status,
        keySuccessions: [
          signSuccession(
            {
              clusterID: 'east',
              oldKey: signer.publicKey,
              newKey: second.publicKey,
              at: '2026-01-01T00:00:00Z',
            },
            signer,
          ),
        ],
      },
    });
    const held = document('east', 'west');
    const consumer = known({ ...sides.provider, publicKey: first.publicKey }, held, document('west', 'east'));
    const provider = known(sides.consumer, document('west', 'east'), { ...held, mtu: 1300, generation: 8 });
    for (const [signer, leads, expected] of [
      [first, true, ['cluster key', 'pin of the API gateway’s certificate', 'control plane', 'MTU']],
      [new ClusterKey(new Uint8Array(32).fill(3)), false, ['cluster key']],
    ] as const) {
      const later = { ...sides, provider: rotated(signer) };
      assert.is(leadsTo(consumer, later.provider), leads);
      const found = differencesOf(later, { consumer, provider }, requestsOf(later, none, undefined));
      assert.equal(
        found.filter(({ side: where }) => where === 'consumer').map(({ what }) => what),
        expected,
      );
    }
  },
);

differences('an endpoint of an earlier option is reported, since the command cannot verify it', () => {
  const endpoints = (endpoint: string) =>
    known(sides.provider, undefined, undefined, { tunnelAddresses: [endpoint] });
  const both = { consumer: endpoints('vpn.example:7470'), provider: endpoints('198.51.100.7:7470') };
  assert.equal(givenOnce(both, none), [
    'the provider’s tunnel is reached at vpn.example:7470, as an earlier --endpoint set it; if that address has changed, set --endpoint again',
    'the consumer’s tunnel is reached at 198.51.100.7:7470, as an earlier --consumer-endpoint set it; if that address has changed, set --consumer-endpoint again',
  ]);
  assert.is(givenOnce(both, { provider: 'vpn.example:7471', consumer: '198.51.100.8:7470' }).length, 0);
  const plain = known(sides.provider, undefined, undefined);
  assert.equal(givenOnce({ consumer: plain, provider: undefined }, none), []);
});

const words = suite('arguments of in-band peering');

words('an endpoint is HOST:PORT', () => {
  const of = (value: string) =>
    endpointOf({ options: { endpoint: value } } as unknown as Invocation, 'endpoint');
  for (const good of ['vpn.example:7470', '198.51.100.7:40000', '[2001:db8::1]:7470'])
    assert.is(of(good), good);
  for (const bad of [
    'vpn.example',
    'vpn.example:0',
    'vpn.example:70000',
    ':7470',
    '2001:db8::1:7470',
    'a b:1',
  ])
    assert.throws(() => of(bad), /must have the form HOST:PORT/, bad);
});

words('in-band options without --in-band, and --in-band with wrong arguments, are refused', async () => {
  const refused = async (...line: string[]) => {
    const { exitCode, stderr } = await hawser(line, { environment: { HOME: '/nonexistent' } });
    assert.is(exitCode, 2, line.join(' '));
    return stderr;
  };
  assert.match(await refused('peer', 'hawser1.x', '--endpoint', 'a:1'), /--endpoint requires --in-band/);
  assert.match(await refused('peer', 'hawser1.x', '--cpu', '4'), /--cpu requires --in-band/);
  assert.match(await refused('peer', '--in-band'), /--remote-context/);
  assert.match(await refused('peer', '--in-band', 'hawser1.x', '--remote-context', 'a'), /takes no token/);
  assert.match(
    await refused('peer', '--in-band', '--remote-context', 'a', '--endpoint', 'a'),
    /must have the form HOST:PORT/,
  );
  assert.match(
    await refused('peer', '--in-band', '--remote-context', 'a', '--timeout', '0'),
    /must be positive/,
  );
  assert.match(await refused('peer', 'repair'), /requires exactly 1 argument: PROVIDER/);
  assert.match(await refused('peer', 'repair', 'east'), /--remote-context/);
});

requests.run();
differences.run();
words.run();
