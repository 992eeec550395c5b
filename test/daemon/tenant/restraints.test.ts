import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createRestraints, mostBytes, restrainedRules } from '../../../daemon/tenant/restraints.ts';
import { twinRules } from '../../../daemon/tenant/tenant-objects.ts';
import { defaultGrant } from '../../../shared/api/grant.ts';
import type { IncomingPeering } from '../../../shared/api/peerings.ts';

const mebibyte = 1 << 20;
const peering = (name: string, pods = 64): IncomingPeering =>
  ({
    metadata: { name, uid: `uid-${name}` },
    spec: { remoteCluster: name, grant: { ...defaultGrant, pods } },
  }) as unknown as IncomingPeering;

/** A clock that is advanced manually. */
function handClock() {
  let now = 0;
  const timers: { at: number; run: () => void }[] = [];
  return {
    clock: {
      now: () => now,
      monotonic: () => now,
      after: (milliseconds: number, run: () => void) => {
        timers.push({ at: now + milliseconds, run });
        return () => undefined;
      },
    },
    move: async (milliseconds: number): Promise<void> => {
      now += milliseconds;
      for (const timer of timers.splice(0)) {
        if (timer.at <= now) timer.run();
        else timers.push(timer);
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}
const begin = () => {
  const { clock, move } = handClock();
  const restraints = createRestraints(clock, new AbortController().signal);
  const told: string[] = [];
  restraints.source.subscribe((key) => told.push(key));
  return { restraints, told, move };
};

test('the byte limit grows with the grant, between a floor and a cap', () => {
  for (const [pods, most] of [
    [1, 16.25],
    [64, 32],
    [110, 43.5],
    [100_000, 256],
  ] as const)
    assert.is(mostBytes({ ...defaultGrant, pods }), most * mebibyte, `${pods} pods`);
});

test('beyond its budget a consumer cannot write until there is room, and other consumers are not affected', () => {
  const { restraints, told } = begin();
  const [elm, oak] = [peering('elm'), peering('oak')];
  for (const [bytes, restrained, changes] of [
    [32 * mebibyte, [], 0],
    [32 * mebibyte + 1, ['Bytes'], 1],
    [40 * mebibyte, ['Bytes'], 1],
    // One deletion and one write do not switch the right repeatedly.
    [31 * mebibyte, ['Bytes'], 1],
    [28 * mebibyte, [], 2],
  ] as const) {
    restraints.weigh(elm, bytes);
    restraints.weigh(oak, mebibyte);
    assert.equal(restraints.of(elm), restrained, `${bytes}`);
    assert.equal(restraints.of(oak), []);
    assert.is(told.length, changes);
  }
});

test('a consumer that keeps declaring foreign endpoints cannot write any for ten minutes after the last one', async () => {
  const { restraints, told, move } = begin();
  const elm = peering('elm');
  for (let tries = 0; tries < 16; tries++) restraints.foreign(elm, '192.0.2.1');
  assert.equal(restraints.of(elm), []);
  restraints.foreign(elm, '192.0.2.1');
  assert.equal(restraints.of(elm), ['Endpoints']);
  assert.equal(told, ['elm']);
  await move(300_000);
  for (let tries = 0; tries < 17; tries++) restraints.foreign(elm, '192.0.2.1');
  await move(400_000);
  assert.equal(restraints.of(elm), ['Endpoints']);
  await move(300_000);
  assert.equal(restraints.of(elm), []);
  assert.equal(told, ['elm', 'elm']);
});

test('many addresses count like one, and few in a minute do not count', async () => {
  const { restraints, move } = begin();
  const [elm, oak] = [peering('elm'), peering('oak')];
  for (let index = 0; index <= 256; index++) restraints.foreign(elm, `192.0.2.${index}`);
  assert.equal(restraints.of(elm), ['Endpoints']);
  for (let minute = 0; minute < 30; minute++) {
    for (let tries = 0; tries < 10; tries++) restraints.foreign(oak, '192.0.2.1');
    await move(61_000);
  }
  assert.equal(restraints.of(oak), []);
});

test('only the right to write is suspended, and existing objects can be read and deleted', () => {
  const verbs = (restraints: ('Bytes' | 'Endpoints')[], resource: string) =>
    restrainedRules(twinRules, restraints)
      .filter(({ resources }) => resources.includes(resource))
      .flatMap((rule) => rule.verbs)
      .sort()
      .join();
  const all = 'create,delete,get,list,patch,update,watch';
  const table: [restraints: ('Bytes' | 'Endpoints')[], resource: string, verbs: string][] = [
    [[], 'secrets', all],
    [['Bytes'], 'secrets', 'delete,get,list,watch'],
    [['Bytes'], 'shadowpods', 'delete,get,list,watch'],
    [['Bytes'], 'endpointslices', 'delete,get,list,watch'],
    [['Bytes', 'Endpoints'], 'pods/exec', 'create,get'],
    [['Endpoints'], 'endpointslices', 'delete,get,list,watch'],
    [['Endpoints'], 'shadowpods', all],
  ];
  for (const [restraints, resource, wanted] of table)
    assert.is(verbs(restraints, resource), wanted, `${restraints.join()} ${resource}`);
});

test.run();
