import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultGrant, type Grant } from '../../shared/api/grant.ts';
import { beyondMaximum, type MaximumGrant } from '../../shared/maximum-grant.ts';

test('a token’s grant is limited by the maximum grant', () => {
  const table: [what: string, grant: Partial<Grant>, maximum: MaximumGrant | undefined, beyond: string[]][] =
    [
      ['the default', {}, undefined, []],
      ['much', { cpu: '1000', memory: '1Ti', pods: 5000 }, undefined, []],
      ['nodes', { podSecurity: 'privileged' }, undefined, ['grant.podSecurity']],
      ['forged packets', { rawNetwork: true }, undefined, ['grant.rawNetwork']],
      ['names', { twinNamespaces: ['com'] }, undefined, ['grant.twinNamespaces']],
      [
        'all that is named',
        { podSecurity: 'privileged', rawNetwork: true, twinNamespaces: ['com'] },
        { podSecurity: 'privileged', rawNetwork: true, twinNamespaces: ['com', 'org'] },
        [],
      ],
      [
        'as much as there is',
        { cpu: '4', memory: '8Gi', pods: 110 },
        { cpu: '4000m', memory: '8Gi', pods: 110 },
        [],
      ],
      [
        'a little more',
        { cpu: '4001m', memory: '8193Mi', pods: 111, ephemeralStorage: '2Gi' },
        { cpu: '4', memory: '8Gi', pods: 110, ephemeralStorage: '1Gi' },
        ['grant.cpu', 'grant.memory', 'grant.ephemeralStorage', 'grant.pods'],
      ],
      [
        'devices where no maximum names any',
        { extendedResources: [{ name: 'a.example/gpu', quantity: '8' }] },
        undefined,
        [],
      ],
      [
        'a device too many',
        { extendedResources: [{ name: 'a.example/gpu', quantity: '8' }] },
        { extendedResources: [{ name: 'a.example/gpu', quantity: '7' }] },
        ['grant.extendedResources'],
      ],
      [
        'a device that is not listed',
        { extendedResources: [{ name: 'a.example/gpu', quantity: '1' }] },
        { extendedResources: [] },
        ['grant.extendedResources'],
      ],
      ['a grant that is not counted', { enforcement: 'None' }, undefined, ['grant.enforcement']],
      ['the same where it is allowed', { enforcement: 'None' }, { enforcement: 'None' }, []],
      ['requests where limits must be counted', {}, { enforcement: 'Hard' }, ['grant.enforcement']],
      ['limits', { enforcement: 'Hard' }, { enforcement: 'Hard' }, []],
      ['baseline where restricted is the most', {}, { podSecurity: 'restricted' }, ['grant.podSecurity']],
    ];
  for (const [what, grant, maximum, beyond] of table)
    assert.equal(
      beyondMaximum({ ...defaultGrant, ...grant }, maximum).map(({ field }) => field),
      beyond,
      what,
    );
});

test.run();
