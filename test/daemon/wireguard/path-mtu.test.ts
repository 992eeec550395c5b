import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { PathMTU, PATH_MTU_TIMES } from '../../../daemon/wireguard/path-mtu.ts';
import { generator } from './simulation.ts';

const test = suite('path MTU');

/** A path at one time: the size that passes (undefined: none), and the round-trip time. */
interface Path {
  takes: number;
  roundTrip?: number;
  loss?: number;
  /** The local interface reports larger packets at once. */
  interfaceTakes?: number;
  /** The peer does not support probes, or the path is down. */
  silent?: boolean;
  /** There is no session. */
  closed?: boolean;
  ceiling?: number;
  moved?: boolean;
}

interface Run {
  mtu: number;
  measured: number | undefined;
  probes: number;
  /** The smallest and the largest MTU that was in force meanwhile. */
  least: number;
  most: number;
}

/** Advances the time on a path, like the device's shell. */
class Clock {
  now = 1_000_000;
  readonly #answers: { token: number; at: number }[] = [];
  readonly machine: PathMTU;
  readonly random: () => number;

  constructor(machine: PathMTU, random = generator(1)) {
    this.machine = machine;
    this.random = random;
  }

  run(path: Path, seconds: number): Run {
    const { machine } = this;
    const { takes, roundTrip = 10, loss = 0, interfaceTakes = 65_535 } = path;
    if (path.ceiling !== undefined) machine.setCeiling(path.ceiling);
    if (path.moved === true) machine.moved(this.now);
    const end = this.now + seconds * 1_000;
    let [probes, least, most] = [0, machine.mtu, machine.mtu];
    while (this.now < end) {
      for (let round = 0; ; round++) {
        assert.ok(round < 50, 'what is refused at once ends');
        const probe = machine.advance(path.closed !== true, this.now);
        [least, most] = [Math.min(least, machine.mtu), Math.max(most, machine.mtu)];
        if (probe === null) break;
        probes++;
        if (probe.size > interfaceTakes) {
          machine.refused(probe.token, this.now);
          continue;
        }
        if (path.silent !== true && probe.size <= takes && this.random() >= loss)
          this.#answers.push({ token: probe.token, at: this.now + roundTrip });
      }
      this.#answers.sort((one, other) => one.at - other.at);
      const due = machine.nextDeadline ?? this.now + 500;
      const [answer] = this.#answers;
      if (answer !== undefined && answer.at <= due && answer.at <= end) {
        this.#answers.shift();
        this.now = Math.max(this.now, answer.at);
        machine.answered(answer.token, this.now);
      } else this.now = Math.max(this.now + 1, Math.min(due, end));
    }
    return { mtu: machine.mtu, measured: machine.measured, probes, least, most };
  }
}

const cases: {
  name: string;
  ceiling: number;
  steps: [path: Path, seconds: number, expected: Partial<Run>][];
}[] = [
  {
    name: 'the configured MTU passes: known in two round trips',
    ceiling: 1_420,
    steps: [[{ takes: 1_500 }, 1, { mtu: 1_420, measured: 1_420, probes: 2, least: 1_420 }]],
  },
  {
    name: 'no session, no probe',
    ceiling: 1_420,
    steps: [[{ takes: 1_500, closed: true }, 600, { mtu: 1_420, measured: undefined, probes: 0 }]],
  },
  {
    name: 'a peer of another make: a few small questions, and the configured MTU holds',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_500, silent: true }, 10, { mtu: 1_420, measured: undefined, probes: 5 }],
      [{ takes: 1_500, silent: true }, 3_600, { mtu: 1_420, measured: undefined, least: 1_420 }],
    ],
  },
  {
    name: 'less passes than configured, in silence: the least MTU at once, then as much as passes',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_353 }, 20, { mtu: 1_350, measured: 1_350, least: 1_280, most: 1_420 }],
      [{ takes: 1_353 }, 600, { mtu: 1_350, measured: 1_350, least: 1_350, most: 1_350 }],
    ],
  },
  {
    name: 'jumbo frames',
    ceiling: 8_920,
    steps: [[{ takes: 8_000 }, 30, { mtu: 7_994, measured: 7_994 }]],
  },
  {
    name: 'a path that shrinks is noticed by the next look, and so is one that grows again',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_420 }, 5, { mtu: 1_420 }],
      [{ takes: 1_300 }, 25, { mtu: 1_297, measured: 1_297, least: 1_280 }],
      [{ takes: 1_420 }, 75, { mtu: 1_420, measured: 1_420, least: 1_297 }],
    ],
  },
  {
    name: 'less than IPv6 needs: shown as it is, but used is what IPv6 needs (the outer packets are fragmented)',
    ceiling: 1_420,
    steps: [[{ takes: 1_100 }, 30, { mtu: 1_280, measured: 1_099 }]],
  },
  {
    name: 'an own interface that is too small says so at once',
    ceiling: 1_420,
    steps: [[{ takes: 1_420, interfaceTakes: 1_340 }, 1, { mtu: 1_336, measured: 1_336 }]],
  },
  {
    name: 'a path that is down says nothing of sizes',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_420 }, 5, { mtu: 1_420 }],
      [{ takes: 0, silent: true }, 120, { mtu: 1_420, least: 1_420 }],
      [{ takes: 1_420 }, 200, { mtu: 1_420, measured: 1_420, least: 1_420 }],
    ],
  },
  {
    name: 'roaming probes again: a narrow path’s MTU no longer applies',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_300 }, 30, { mtu: 1_297 }],
      [{ takes: 1_420, moved: true }, 1, { mtu: 1_420, measured: 1_420 }],
    ],
  },
  {
    name: 'another configured MTU, smaller and larger',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_400 }, 30, { mtu: 1_397 }],
      [{ takes: 1_400, ceiling: 1_300 }, 1, { mtu: 1_300, measured: 1_300 }],
      [{ takes: 1_400, ceiling: 1_420 }, 30, { mtu: 1_397, measured: 1_397 }],
    ],
  },
  {
    name: 'the session ends: nothing is known any more, but what was learnt holds until it is known better',
    ceiling: 1_420,
    steps: [
      [{ takes: 1_300 }, 30, { mtu: 1_297 }],
      [{ takes: 1_300, closed: true }, 60, { mtu: 1_297, measured: undefined, probes: 0 }],
      [{ takes: 1_420 }, 2, { mtu: 1_420, measured: 1_420 }],
    ],
  },
  {
    name: 'a long round trip of 900 ms',
    ceiling: 1_420,
    steps: [[{ takes: 1_353, roundTrip: 900 }, 60, { mtu: 1_350, measured: 1_350 }]],
  },
  {
    name: 'round trips of more than a second: the answer to the first attempt comes after the third',
    ceiling: 1_420,
    steps: [[{ takes: 1_353, roundTrip: 2_500 }, 60, { mtu: 1_350, measured: 1_350 }]],
  },
];

for (const { name, ceiling, steps } of cases)
  test(name, () => {
    const clock = new Clock(new PathMTU(PATH_MTU_TIMES, ceiling));
    for (const [index, [path, seconds, expected]] of steps.entries()) {
      const run = clock.run(path, seconds);
      for (const [key, value] of Object.entries(expected))
        assert.is(run[key as keyof Run], value, `step ${index + 1}: ${key}, of ${JSON.stringify(run)}`);
    }
  });

test('with 5 % loss the search finds the path MTU within 8 bytes, and never exceeds it for a minute', () => {
  const random = generator(7);
  for (let round = 0; round < 200; round++) {
    const clock = new Clock(new PathMTU(PATH_MTU_TIMES, 1_420), random);
    let run: Run | undefined;
    for (let change = 0; change < 3; change++) {
      const takes = 1_280 + Math.floor(random() * 200);
      const roundTrip = Math.floor(random() * 400);
      // Time to notice the change, and then a measured minute.
      clock.run({ takes, roundTrip, loss: 0.05 }, 60);
      run = clock.run({ takes, roundTrip, loss: 0.05 }, 60);
      const truth = Math.min(takes, 1_420);
      assert.ok(run.most <= truth, `${run.most} in force where ${truth} pass`);
    }
    // A size whose probes were lost by chance is tested again by the next search upwards.
    const truth = 1_350;
    run = clock.run({ takes: truth, loss: 0.05 }, 600);
    assert.ok(run.mtu <= truth && run.mtu > truth - 30, `${run.mtu} of ${truth}`);
  }
});

test('a thousand peers need some dozens of probes per second', () => {
  const clock = new Clock(new PathMTU(PATH_MTU_TIMES, 1_420));
  clock.run({ takes: 1_420 }, 10);
  const { probes } = clock.run({ takes: 1_420 }, 600);
  assert.ok(probes <= 60, `${probes} in ten minutes of one peer`);
});

test.run();
