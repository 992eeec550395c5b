/**
 * Light providers on the wide area of a testbed: one network namespace, a few processes, one API server for all their tenants.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { crdManifests } from '../../deploy/crds.ts';
import { upControlPlane, type Bed, type ControlPlane } from '../../test/testbed/index.ts';
import { addressIn, namespacePrefix } from '../../test/testbed/plan.ts';
import { run } from '../../test/testbed/run.ts';
import type { LightProcessOptions } from './light-process.ts';
import type { ProcessRef } from './process-use.ts';

/** Providers per process. */
const perProcess = 32;
/** Above the addresses that a testbed gives to clusters and their Services. */
const addressOffset = 240;
const startMilliseconds = 300_000;

export class LightFleet {
  readonly #bed: Bed;
  readonly #netns: string;
  readonly #address: string;
  readonly #processes: ChildProcess[] = [];
  #plane: ControlPlane | undefined;
  #splice: Server | undefined;

  constructor(bed: Bed) {
    this.#bed = bed;
    // With this prefix the namespace is deleted together with the testbed, even after a crash of this process.
    this.#netns = `${namespacePrefix(bed.name)}light`;
    this.#address = addressIn(bed.plan.wideAreaCIDR, addressOffset);
  }

  /** Creates the namespace, and starts the API server. */
  async start(): Promise<void> {
    const { wideAreaNetns, wideAreaCIDR } = this.#bed.plan;
    const netns = this.#netns;
    const script = [
      `ip netns add ${netns}`,
      `ip -n ${netns} link set lo up`,
      `ip link add wan netns ${netns} type veth peer name light netns ${wideAreaNetns}`,
      `ip -n ${wideAreaNetns} link set light master wan up`,
      `ip -n ${netns} addr add ${this.#address}/${wideAreaCIDR.split('/')[1]} dev wan`,
      `ip -n ${netns} link set wan up`,
      // Packets of consumers have sources that are routed elsewhere, or nowhere.
      `nsenter --net=/run/netns/${netns} sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0`,
    ];
    await run(['bash', '-ec', script.join('\n')]);
    this.#plane = await upControlPlane({ name: 'light' });
    await this.#plane.kubectl(['apply', '-f', '-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crdManifests() }),
    });
    await this.#plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    const port = Number(new URL(this.#plane.url).port);
    const server = createServer((socket) => {
      const upstream = connect(port, '127.0.0.1');
      socket.on('error', () => upstream.destroy());
      upstream.on('error', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    this.#splice = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, this.#bed.plan.hostAddress, () => resolve());
    });
  }

  /** Starts that many more providers; returns their peering tokens. */
  async add(count: number, first = 0): Promise<string[]> {
    const tokens: Promise<string[]>[] = [];
    for (let done = 0; done < count; done += perProcess)
      tokens.push(this.#startProcess(first + done, Math.min(perProcess, count - done)));
    return (await Promise.all(tokens)).flat();
  }

  /** Ends all providers; the API server stays. */
  async clear(): Promise<void> {
    await Promise.all(this.#processes.splice(0).map(end));
    // Devices and their routes disappear with the processes; rules do not. The first rule, `local`, survives every flush.
    const flush =
      'ip rule flush; ip rule add lookup main priority 32766; ip rule add lookup default priority 32767';
    await run(['nsenter', `--net=/run/netns/${this.#netns}`, 'sh', '-ec', flush]);
  }

  processes(): ProcessRef[] {
    return this.#processes.map(({ pid }, index) => ({ what: `light providers ${index}`, pid: pid ?? 0 }));
  }

  /** The namespace is deleted with the testbed. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.splice(0).map(end));
    this.#splice?.close();
    await this.#plane?.stop();
  }

  #startProcess(first: number, count: number): Promise<string[]> {
    const plane = this.#plane;
    const bound = this.#splice?.address();
    if (plane === undefined || typeof bound !== 'object' || bound === null)
      throw new Error('the fleet has not been started');
    const file = join(import.meta.dirname, 'light-process.ts');
    const child = spawn('nsenter', [`--net=/run/netns/${this.#netns}`, process.execPath, file], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#processes.push(child);
    const options: LightProcessOptions = {
      first,
      count,
      address: this.#address,
      server: {
        url: `https://${this.#bed.plan.hostAddress}:${bound.port}`,
        ca: plane.ca,
        adminToken: plane.adminToken,
      },
    };
    // Its input stays open: the child ends when this process does, for any reason.
    child.stdin.write(`${JSON.stringify(options)}\n`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`light providers from ${first} on did not start in time`)),
        startMilliseconds,
      );
      child.once('exit', () => reject(new Error(`light providers from ${first} on ended`)));
      createInterface({ input: child.stdout }).once('line', (line) => {
        clearTimeout(timer);
        resolve(JSON.parse(line) as string[]);
      });
    });
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
