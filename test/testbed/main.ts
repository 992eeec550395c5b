/** `npm run testbed -- up|status|shell|down`: the command of the testbed. */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { attach, down, up } from './bed.ts';
import { bedNames, readState } from './state.ts';

const help = `Real Kubernetes clusters on this machine, without Docker.

Usage: npm run testbed -- COMMAND [OPTIONS]

  up                 bring a bed up; where it is up, start again what had died
    --clusters N       how many, or their names: --clusters home,away (default 2)
    --nodes M          nodes of each cluster (default 2)
    --pod-cidr RANGE   the same for all clusters (default 10.244.0.0/16)
    --service-cidr RANGE                        (default 10.96.0.0/16)
    --policies         network policies are enforced (by kube-router)
  status             all beds: clusters, nodes, and what has died
  shell CLUSTER      a shell with kubectl and helm, set up for that cluster
  down               take a bed down, whatever state it is in
    --all              every bed of this machine
  --name NAME        which bed (default dev)
  --help             this text

Needs Linux and root. The first "up" builds Kubernetes from its Go modules: about ten minutes on two cores.
`;

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
async function main(args: readonly string[]): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        clusters: { type: 'string' },
        nodes: { type: 'string' },
        'pod-cidr': { type: 'string' },
        'service-cidr': { type: 'string' },
        policies: { type: 'boolean', default: false },
        name: { type: 'string', default: 'dev' },
        all: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
  const { values, positionals } = parsed;
  const [command, ...rest] = positionals;
  if (values.help || command === 'help') {
    process.stdout.write(help);
    return 0;
  }
  if (command === undefined) return usage('no command given');
  if (rest.length > (command === 'shell' ? 1 : 0)) return usage(`unexpected: ${rest.join(' ')}`);
  switch (command) {
    case 'up': {
      if (values.nodes !== undefined && !/^\d+$/.test(values.nodes)) {
        return usage(`--nodes takes a number, not ${values.nodes}`);
      }
      const nodes = values.nodes === undefined ? undefined : Number(values.nodes);
      return await commandUp(
        values.name,
        values.clusters,
        nodes,
        values['pod-cidr'],
        values['service-cidr'],
        values.policies,
      );
    }
    case 'status':
      return await commandStatus();
    case 'shell':
      return await commandShell(values.name, rest[0]);
    case 'down':
      return await commandDown(values.all ? await bedNames() : [values.name]);
    default:
      return usage(`there is no command ${command}`);
  }
}

function usage(problem: string): number {
  process.stderr.write(`${problem}\n\n${help}`);
  return 2;
}

function stopwatch(): () => string {
  const begun = performance.now();
  return () => `${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s`;
}

async function commandUp(
  name: string,
  clusters: string | undefined,
  nodes: number | undefined,
  podCIDR: string | undefined,
  serviceCIDR: string | undefined,
  policies: boolean,
): Promise<number> {
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort(new Error('interrupted')));
  process.once('SIGTERM', () => interrupted.abort(new Error('interrupted')));
  const time = stopwatch();
  const erase = process.stderr.isTTY ? '\r\u001B[2K' : '';
  const log = (line: string) => process.stderr.write(`${erase}${time()}  ${line}\n`);
  const progress = (line: string) =>
    process.stderr.write(`${erase}${time()}  ${line}`.slice(0, process.stderr.columns));
  try {
    const bed = await up({
      name,
      signal: interrupted.signal,
      log,
      ...(process.stderr.isTTY && { progress }),
      ...(clusters !== undefined && {
        clusters: /^\d+$/.test(clusters) ? Number(clusters) : clusters.split(','),
      }),
      ...(nodes !== undefined && { nodes }),
      ...(podCIDR !== undefined && { podCIDR }),
      ...(serviceCIDR !== undefined && { serviceCIDR }),
      ...(policies && { policies }),
    });
    log(`Bed ${name} is up`);
    for (const cluster of bed.clusters) {
      process.stdout.write(`${cluster.name}: ${cluster.nodes.length} nodes, ${cluster.apiServerUrl}\n`);
      process.stdout.write(`  export KUBECONFIG=${cluster.kubeconfig}\n`);
    }
    process.stdout.write(`kubectl: ${bed.programs.kubectl}\n`);
    return 0;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.stderr.write('interrupted; what was begun has been taken down\n');
    return 130;
  }
}

async function commandStatus(): Promise<number> {
  const names = await bedNames();
  if (names.length === 0) process.stdout.write('No bed. Bring one up: npm run testbed -- up\n');
  let code = 0;
  for (const name of names) {
    const state = await readState(name);
    if (state?.phase !== 'ready') {
      process.stdout.write(
        `${name}: half-made; "down --name ${name}" removes it, "up --name ${name}" makes it anew\n`,
      );
      code = 1;
      continue;
    }
    try {
      const bed = await attach(name);
      process.stdout.write(`${name}: ${bed.plan.wideAreaCIDR}, since ${state.created}\n`);
      for (const died of await bed.diedServices()) {
        code = 1;
        process.stdout.write(`  ${died} has ended; "up --name ${name}" starts it again\n`);
      }
      for (const cluster of bed.clusters) {
        process.stdout.write(`  ${cluster.name}  ${cluster.apiServerUrl}  ${cluster.kubeconfig}\n`);
        const nodes = await cluster.kubectl(['get', 'nodes', '--no-headers', '--request-timeout=5s']);
        process.stdout.write(nodes.replace(/^/gm, '    ').trimEnd() + '\n');
      }
    } catch (error) {
      code = 1;
      process.stdout.write(`  ${(error as Error).message}\n`);
    }
  }
  return code;
}

async function commandShell(name: string, clusterName: string | undefined): Promise<number> {
  const bed = await attach(name);
  const cluster = clusterName === undefined ? bed.clusters[0] : bed.cluster(clusterName);
  if (cluster === undefined) throw new Error(`bed ${name} has no cluster`);
  const directories = [bed.programs.kubectl, bed.programs.helm].map((path) =>
    path.slice(0, path.lastIndexOf('/')),
  );
  const shell = process.env['SHELL'] || '/bin/sh';
  if (process.stdin.isTTY)
    process.stderr.write(`kubectl and helm speak to ${cluster.name}; leave with exit\n`);
  const child = spawn(shell, [], {
    stdio: 'inherit',
    env: {
      ...process.env,
      KUBECONFIG: cluster.kubeconfig,
      PATH: `${directories.join(':')}:${process.env['PATH'] ?? ''}`,
    },
  });
  return await new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Error(`cannot start ${shell}: ${error.message}`)));
    child.once('close', (code) => resolve(code ?? 1));
  });
}

async function commandDown(names: readonly string[]): Promise<number> {
  const time = stopwatch();
  for (const name of names) {
    await down(name, { log: (line) => process.stderr.write(`${time()}  ${line}\n`) });
    process.stderr.write(`${time()}  Bed ${name} is down\n`);
  }
  if (names.length === 0) process.stderr.write('There is no bed\n');
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`testbed: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
