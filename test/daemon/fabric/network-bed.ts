import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer, connect, type Server } from 'node:net';
import { createNamespace, type TestNamespace } from '../host/namespace.ts';

/**
 * Nodes and pods as network namespaces on one bridge, with routes and masquerading like those of a simple CNI, and no
 * Kubernetes. This machine has an address on the bridge too, by which nodes reach API servers on its loopback.
 */
export class NetworkBed {
  readonly #hub = createNamespace('hub');
  readonly #spaces: TestNamespace[] = [this.#hub];
  readonly #processes = new Set<ChildProcess>();
  readonly #servers: Server[] = [];
  readonly #link: string;
  /** The first three octets of the bridge's network; random, so that several beds can run side by side. */
  readonly network = `172.31.${randomBytes(1)[0]}`;
  readonly hostAddress = `${this.network}.254`;
  #links = 0;

  constructor() {
    this.#hub.run('ip link add br0 type bridge; ip link set br0 up');
    this.#link = `hwt${this.#hub.name.slice(-8)}`;
    this.#hub.run(`ip link add up0 type veth peer name ${this.#link} netns 1; ip link set up0 master br0 up`);
    const command = `ip addr add ${this.hostAddress}/24 dev ${this.#link}; ip link set ${this.#link} up`;
    execFileSync('sh', ['-ec', command], { timeout: 10_000 });
    // Clean up after an interruption in the same way.
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => void this.close().finally(() => process.exit(1)));
    }
  }

  /** A node at `<network>.<host>`, with the rules of a CNI and kube-proxy for `podRange`. */
  addNode(label: string, host: number, podRange: string): TestNamespace {
    const space = createNamespace(label);
    this.#spaces.push(space);
    const port = `p${this.#links++}`;
    this.#hub.run(
      `ip link add ${port} type veth peer name eth0 netns ${space.name}; ip link set ${port} master br0 up`,
    );
    space.run(
      [
        `ip addr add ${this.network}.${host}/24 dev eth0; ip link set eth0 up; ip route add default via ${this.hostAddress}`,
        'sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1',
        'iptables-nft -P FORWARD DROP',
        `iptables-nft -A FORWARD -s ${podRange} -o eth0 -j ACCEPT; iptables-nft -A FORWARD -d ${podRange} -i eth0 -j ACCEPT`,
        'iptables-nft -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
        // The rules of kube-proxy, of the bridge plugin for pods, and of flannel for everything else.
        'iptables-nft -t nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE',
        `iptables-nft -t nat -A POSTROUTING -s ${podRange} ! -d ${podRange} -j MASQUERADE`,
        `iptables-nft -t nat -A POSTROUTING ! -s ${podRange} -d ${podRange} -j MASQUERADE`,
      ].join('\n'),
    );
    return space;
  }

  /** A pod on a node: TCP 8080 and UDP 8081 return the client's address, and TCP 8082 sends 3 MB. */
  addPod(node: TestNamespace, label: string, address: string): TestNamespace {
    const space = createNamespace(label);
    this.#spaces.push(space);
    const port = `v${this.#links++}`;
    node.run(
      `ip link add ${port} type veth peer name eth0 netns ${space.name}; ip link set ${port} up; ip route add ${address}/32 dev ${port}; sysctl -qw net.ipv4.conf.${port}.proxy_arp=1`,
    );
    space.run(
      `ip addr add ${address}/32 dev eth0; ip link set eth0 up; ip route add 169.254.1.1 dev eth0; ip route add default via 169.254.1.1 dev eth0`,
    );
    node.run(`ip addr add 169.254.1.1/32 dev ${port}`);
    this.start(space, ['socat', 'TCP-LISTEN:8080,fork,reuseaddr', 'SYSTEM:echo $SOCAT_PEERADDR']);
    this.start(space, ['socat', 'UDP-RECVFROM:8081,fork', 'SYSTEM:echo $SOCAT_PEERADDR']);
    this.start(space, ['socat', 'TCP-LISTEN:8082,fork,reuseaddr', 'SYSTEM:head -c 3000000 /dev/zero']);
    return space;
  }

  /** Runs a program in a namespace until `stop`, in its own process group, so that its children end too. */
  start(
    space: TestNamespace,
    command: readonly string[],
    options: { environment?: NodeJS.ProcessEnv; onError?: (line: string) => void } = {},
  ): ChildProcess {
    const [file = '', ...args] = [...space.prefix, ...command];
    const child = spawn(file, args, {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, ...options.environment },
    });
    let pending = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (pending + text).split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) options.onError?.(line);
    });
    this.#processes.add(child);
    child.once('exit', () => this.#processes.delete(child));
    return child;
  }

  /** Ends a process, and waits for it. */
  async end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    process.kill(-(child.pid ?? 0), signal);
    await ended;
  }

  /** Makes a port of this machine's loopback reachable on the bridge; returns the port there. */
  async publish(port: number): Promise<number> {
    const server = createServer((socket) => {
      const upstream = connect(port, '127.0.0.1');
      socket.on('error', () => upstream.destroy());
      upstream.on('error', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    this.#servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, this.hostAddress, resolve));
    return (server.address() as { port: number }).port;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    await Promise.all([...this.#processes].map((child) => this.end(child, 'SIGKILL')));
    for (const space of this.#spaces) space.remove();
  }
}
