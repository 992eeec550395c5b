/** When a server with another certificate or address is accepted as a provider's API gateway. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { pinSince } from '../../../daemon/peering/gateway-certificate.ts';
import { addressesToTry, verifyGateway } from '../../../daemon/peering/gateway-follow.ts';
import type { RemoteCluster } from '../../../shared/api/clusters.ts';
import { openGatewayStatement, signGatewayStatement } from '../../../shared/trust/gateway-statement.ts';
import { signSuccession } from '../../../shared/trust/key-succession.ts';
import { keyOf } from '../../shared/trust/keys.ts';

const pin = (digit: string) => digit.repeat(64);
const [oldPin, newPin] = [pin('a'), pin('b')];
const early = '2026-01-01T00:00:00.000Z';
const late = '2026-01-02T00:00:00.000Z';
const key = keyOf(1);
const info = { clusterID: 'milan', publicKey: key.publicKey, version: '1', features: [] };
const known = { clusterID: 'milan', publicKey: key.publicKey, gatewayPin: oldPin, gatewayPinSince: early };
const signed = (content: object = {}, by = key) =>
  signGatewayStatement({ clusterID: 'milan', pin: newPin, since: late, ...content }, by);

const judging = suite('verification of a gateway’s certificate');
const table: [string, Parameters<typeof verifyGateway>, string][] = [
  ['the known certificate needs no word', [known, { pin: oldPin, info }], 'Known'],
  ['another without a word', [known, { pin: newPin, info }], 'Refused'],
  [
    'another that the cluster key signed for',
    [known, { pin: newPin, info: { ...info, gateway: signed() } }],
    'Succeeds',
  ],
  [
    'one who passes on a true word about another',
    [known, { pin: pin('c'), info: { ...info, gateway: signed() } }],
    'Refused',
  ],
  [
    'another key’s word',
    [known, { pin: newPin, info: { ...info, gateway: signed({}, keyOf(2)) } }],
    'Refused',
  ],
  [
    'another cluster’s word',
    [known, { pin: newPin, info: { ...info, gateway: signed({ clusterID: 'paris' }) } }],
    'Refused',
  ],
  [
    'a word of the time before the known one',
    [known, { pin: newPin, info: { ...info, gateway: signed({ since: early }) } }],
    'Refused',
  ],
  [
    'the first word, where none is held',
    [
      { ...known, gatewayPinSince: undefined },
      { pin: newPin, info: { ...info, gateway: signed({ since: early }) } },
    ],
    'Succeeds',
  ],
  [
    'the word of a key that succeeds the known one',
    [
      known,
      {
        pin: newPin,
        info: {
          ...info,
          gateway: {
            ...signed({}, keyOf(2)),
            successions: [
              signSuccession(
                { clusterID: 'milan', oldKey: key.publicKey, newKey: keyOf(2).publicKey, at: late },
                key,
              ),
            ],
          },
        },
      },
    ],
    'Succeeds',
  ],
];
for (const [what, input, verdict] of table)
  judging(what, () => {
    assert.is(verifyGateway(...input).verdict, verdict);
  });
judging('a malformed statement is ignored', () => {
  assert.is(openGatewayStatement({ payload: '?', signature: '?' }, known), undefined);
  assert.is(openGatewayStatement({ ...signed(), payload: signed().payload.slice(1) }, known), undefined);
});
judging('a pin’s start time is later than all earlier ones, for any clock', () => {
  const now = Date.parse(late);
  assert.is(pinSince(oldPin, undefined, now), late);
  assert.is(pinSince(oldPin, { gatewayPin: oldPin, gatewayPinSince: early }, now), early);
  assert.is(pinSince(newPin, { gatewayPin: oldPin, gatewayPinSince: early }, now), late);
  assert.is(
    pinSince(newPin, { gatewayPin: oldPin, gatewayPinSince: late }, now - 5000),
    '2026-01-02T00:00:00.001Z',
  );
});
judging.run();

const addresses = suite('addresses to check');
const spec: RemoteCluster['spec'] = {
  clusterID: 'milan',
  publicKey: key.publicKey,
  controlPlane: 'OutOfBand',
  gatewayURL: 'https://old:7443',
  gatewayPin: oldPin,
};
const declared = { url: 'https://old:7443', pin: oldPin };
const addressTable: [string, Parameters<typeof addressesToTry>, string[]][] = [
  ['none while all is as declared', [spec, declared, false], []],
  ['none while nothing is declared', [spec, undefined, false], []],
  ['the known one when it fails', [spec, undefined, true], ['https://old:7443']],
  [
    'the declared one first',
    [spec, { ...declared, url: 'https://new:7443' }, false],
    ['https://new:7443', 'https://old:7443'],
  ],
  ['for another certificate', [spec, { ...declared, pin: newPin }, false], ['https://old:7443']],
  [
    'none on this machine, link-local or of a metadata service',
    [spec, { ...declared, url: 'https://169.254.169.254' }, false],
    ['https://old:7443'],
  ],
  [
    'none on this machine',
    [spec, { ...declared, url: 'https://127.0.0.1:7443' }, false],
    ['https://old:7443'],
  ],
  ['no plain HTTP', [spec, { ...declared, url: 'http://new' }, false], ['https://old:7443']],
  [
    'in-band none but the one that follows from the tunnel',
    [{ ...spec, controlPlane: 'InBand' }, { ...declared, url: 'https://new:7443' }, false],
    [],
  ],
];
for (const [what, input, expected] of addressTable)
  addresses(what, () => {
    assert.equal(addressesToTry(...input), expected);
  });
addresses.run();
