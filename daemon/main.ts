/** `hawser daemon --role=controller|node`: the entry of the cluster's own processes. */
import { parseArgs } from 'node:util';
import { collectAfterStart } from '../shared/collect-after-start.ts';

const roles = ['controller', 'node'] as const;
export type Role = (typeof roles)[number];

const usage = `usage: hawser daemon --role=${roles.join('|')}

  controller  reconciles peerings, tenants and virtual nodes; one leads (Lease hawser-controller)
  node        runs the data path of its node; needs NET_ADMIN and /dev/net/tun

Both read HAWSER_NAMESPACE, NODE_NAME, POD_IP, POD_NAME and LOG_LEVEL from the environment, and
speak to the API server as their pod's service account, or by KUBECONFIG if it is set.
`;

/** Wrong use of the command. The message is shown to the user. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The role that the arguments ask for; undefined: help. Throws UsageError. */
export function roleOf(args: readonly string[]): Role | undefined {
  let values: { role?: string | undefined; help?: boolean | undefined };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: { role: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    }));
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n\n${usage}`);
  }
  if (values.help) return undefined;
  const role = roles.find((each) => each === values.role);
  if (role === undefined) {
    throw new UsageError(
      `--role is ${values.role === undefined ? 'missing' : `"${values.role}"`}\n\n${usage}`,
    );
  }
  return role;
}

/** How long a process may take to end after it was asked to. */
const endMilliseconds = 10_000;

/** Runs a role until the signal is aborted. Only that role's code is loaded. */
export async function runDaemon(args: readonly string[], signal: AbortSignal): Promise<void> {
  const role = roleOf(args);
  if (role === undefined) {
    process.stdout.write(usage);
    return;
  }
  if (role === 'controller') {
    const { runControllerRole } = await import('./roles/controller.ts');
    return runControllerRole(signal);
  }
  const { runNodeRole } = await import('./roles/node.ts');
  return runNodeRole(signal);
}

/** Runs as a process: the first SIGTERM or SIGINT ends it in order, a second one at once. Sets the exit code. */
export async function daemonProcess(args: readonly string[]): Promise<void> {
  const stop = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort(new Error(`got ${name}`));
    setTimeout(() => process.exit(1), endMilliseconds).unref();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const stopCollecting = collectAfterStart();
  try {
    await runDaemon(args, stop.signal);
    process.exitCode = 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  } finally {
    stopCollecting();
    process.off('SIGTERM', onSignal);
    process.off('SIGINT', onSignal);
  }
  // Timers and sockets of what ended half-way must not keep the process.
  setTimeout(() => process.exit(), 1000).unref();
}

if (import.meta.main) await daemonProcess(process.argv.slice(2));
