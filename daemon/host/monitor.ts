/** Detects changes of the node's kernel state by netlink events instead of polling. */
import { spawn, type ChildProcess } from 'node:child_process';
import { nftTable, routingTable } from './constants.ts';

export interface MonitorOptions {
  /** Called soon after a change that may affect a plan, and at least every `checkMilliseconds`. */
  onChange: () => void;
  /** TUN device of the plan. */
  device: string;
  /** Prepended to every command. */
  prefix?: readonly string[];
  /** Changes come in bursts (kube-proxy, CNI); those within this time cause one call. Default 500 ms. */
  debounceMilliseconds?: number;
  /** Interval of checks for changes without an event. Default 60 s. */
  checkMilliseconds?: number;
  /** Delay before a monitor that ended is restarted. Default 5 s. */
  restartMilliseconds?: number;
}

/** Limit on the kept part of an incomplete line. */
const longestLine = 10_000;

/** Others change the kernel all the time (kube-proxy, the CNI); only lines that match this are of interest. */
const relevant = (device: string) =>
  new RegExp(`${device}|\\b${routingTable}\\b|\\b${nftTable}\\b|\\bfilter (FORWARD|INPUT)\\b`);

/** Programs that print a line for each change: links, addresses, routes, rules; nft tables, chains and rules. */
const monitors: readonly (readonly string[])[] = [
  ['ip', '-o', 'monitor', 'link', 'address', 'route', 'rule'],
  ['nft', 'monitor'],
];

/** Runs until the signal is aborted. If a monitor cannot run, only the periodic check remains. */
export async function monitorHost(options: MonitorOptions, signal: AbortSignal): Promise<void> {
  const {
    onChange,
    device,
    prefix = [],
    debounceMilliseconds = 500,
    checkMilliseconds = 60_000,
    restartMilliseconds = 5_000,
  } = options;
  if (signal.aborted) return;
  const interesting = relevant(device);
  const children = new Set<ChildProcess>();
  const timers = new Set<NodeJS.Timeout>();
  let settling = false;

  const later = (milliseconds: number, call: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      call();
    }, milliseconds);
    timers.add(timer);
  };
  const changed = () => {
    if (settling) return;
    settling = true;
    later(debounceMilliseconds, () => {
      settling = false;
      onChange();
    });
  };
  const start = (command: readonly string[]) => {
    const [file = '', ...args] = [...prefix, ...command];
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    children.add(child);
    let rest = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = (lines.pop() ?? '').slice(0, longestLine);
      if (lines.some((line) => interesting.test(line))) changed();
    });
    let ended = false;
    const onEnd = () => {
      if (ended) return;
      ended = true;
      children.delete(child);
      // A check finds changes made while the monitor was not running.
      if (!signal.aborted) later(restartMilliseconds, () => (start(command), changed()));
    };
    child.on('error', onEnd);
    child.on('close', onEnd);
  };
  for (const command of monitors) start(command);
  const regular = setInterval(onChange, checkMilliseconds);

  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  clearInterval(regular);
  for (const timer of timers) clearTimeout(timer);
  for (const child of children) child.kill('SIGKILL');
}
