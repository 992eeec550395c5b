/** Finds foreign rules and kernel parameters that block the tunnel's packets. */
import type { HostProblem } from '../../shared/api/network.ts';
import { contains, overlaps, tryParseRange, type Range } from '../../shared/net/cidr.ts';
import type { RunCommand } from './command.ts';
import { nftComment } from './constants.ts';
import { observeForeign, type BaseChain, type ForeignHost, type ReadParameter } from './foreign.ts';
import { isRecord, textOf, type JSONRecord } from './tool-output.ts';

/** Hawser's own chain of the source-NAT hook has this priority (`srcnat − 1`); chains with a lower priority decide first. */
const ownNatPriority = 99;
/** As many as the API allows. */
const problemLimit = 16;

export interface Tunnelled {
  device: string;
  /** Ranges that lie behind the device. */
  remoteRanges: readonly string[];
}

/** Reads the node's settings and evaluates them. */
export async function findForeignProblems(
  run: RunCommand,
  read: ReadParameter,
  tunnelled: Tunnelled,
  signal: AbortSignal,
): Promise<HostProblem[]> {
  return foreignProblems(await observeForeign(run, read, tunnelled.device, signal), tunnelled);
}

/** Interfering settings, one sentence each: what was found, why it matters, what to do. Pure. */
export function foreignProblems(host: ForeignHost, tunnelled: Tunnelled): HostProblem[] {
  // Without a remote nothing passes the device, so nothing can interfere.
  if (tunnelled.remoteRanges.length === 0) return [];
  const ours = { ...tunnelled, ranges: tunnelled.remoteRanges.flatMap((text) => tryParseRange(text) ?? []) };
  return [
    ...parameterProblems(host.parameters, tunnelled.device),
    ...host.chains.flatMap((chain) => chainProblems(chain, ours)),
  ].slice(0, problemLimit);
}

function parameterProblems(parameters: ForeignHost['parameters'], device: string): HostProblem[] {
  const problems: HostProblem[] = [];
  const strict = ['all', device].filter((name) => parameters[`net/ipv4/conf/${name}/rp_filter`] === '1');
  // The higher of the two values holds (Documentation/networking/ip-sysctl); 2 is loose.
  const loose = ['all', device].some((name) => parameters[`net/ipv4/conf/${name}/rp_filter`] === '2');
  if (strict.length > 0 && !loose) {
    const [name = ''] = strict;
    problems.push({
      reason: 'ReversePathFilter',
      message: `reverse path filtering is strict (net.ipv4.conf.${name}.rp_filter = 1): the kernel silently drops packets of a remote whose answers would leave by another device; set it to 2 (loose): sysctl -w net.ipv4.conf.${name}.rp_filter=2`,
    });
  }
  if (parameters['net/ipv4/ip_forward'] === '0') {
    problems.push({
      reason: 'ForwardingDisabled',
      message:
        'the node does not forward IPv4 packets (net.ipv4.ip_forward = 0): pods reach nothing outside their node; set it to 1',
    });
  }
  return problems;
}

interface Ours extends Tunnelled {
  ranges: readonly Range[];
}

function chainProblems(chain: BaseChain, ours: Ours): HostProblem[] {
  const where = `${chain.family} ${chain.table} ${chain.name}`;
  const problems: HostProblem[] = [];
  for (const rule of chain.rules) {
    if (chain.type === 'nat' && chain.hook === 'postrouting' && chain.priority <= ownNatPriority) {
      if (translatesSource(rule) && takes(rule, ours))
        problems.push({
          reason: 'ForeignMasquerade',
          message: `a rule of nft chain ${where} (priority ${chain.priority}, before Hawser’s) changes the source address of packets to remote clusters, so that they are refused or their answers are lost; exclude device ${ours.device} from the rule, or give the chain a priority above ${ownNatPriority}`,
        });
    } else if (chain.type === 'filter' && drops(rule)) {
      // In these tables Hawser inserts its own accept rules before a rule that drops everything.
      if (names(rule, ours) || (takes(rule, ours) && !isFilterTable(chain)))
        problems.push({
          reason: 'ForeignDrop',
          message: `a rule of nft chain ${where} drops packets to or from remote clusters; exclude from it device ${ours.device} and the ranges ${ours.remoteRanges.join(', ').slice(0, 120)}: nft -a list chain ${where}`,
        });
    }
  }
  if (
    chain.type === 'filter' &&
    chain.hook === 'forward' &&
    chain.policy === 'drop' &&
    !isFilterTable(chain)
  ) {
    // The effect of a jump to another chain is not known, so nothing is reported then.
    const jumps = chain.rules.some((rule) => rule.some((each) => 'jump' in each || 'goto' in each));
    const accepted = chain.rules.some((rule) => rule.some((each) => 'accept' in each) && takes(rule, ours));
    if (!jumps && !accepted)
      problems.push({
        reason: 'ForeignDrop',
        message: `nft chain ${where} drops packets by default (policy drop) and has no rule for device ${ours.device}: pods here reach no remote; add to it: iifname "${ours.device}" accept, and oifname "${ours.device}" accept`,
      });
  }
  return dedupe(problems);
}

const isFilterTable = ({ family, table }: BaseChain): boolean =>
  (family === 'ip' || family === 'ip6') && table === 'filter';

const translatesSource = (rule: readonly JSONRecord[]): boolean =>
  rule.some((each) => 'masquerade' in each || 'snat' in each);

const drops = (rule: readonly JSONRecord[]): boolean =>
  rule.some((each) => 'drop' in each || 'reject' in each) &&
  !rule.some((each) => each['comment'] === nftComment);

/** Whether a rule matches all of the tunnel's packets in one direction. */
function takes(rule: readonly JSONRecord[], ours: Ours): boolean {
  return matchesOf(rule).every((match) => ['ours', 'any'].includes(judge(match, ours)));
}

/** Whether a rule names the device or a remote range, possibly with further conditions. */
function names(rule: readonly JSONRecord[], ours: Ours): boolean {
  const judged = matchesOf(rule).map((match) => judge(match, ours));
  return judged.includes('ours') && !judged.includes('others');
}

type Judgement = 'ours' | 'others' | 'any' | 'unknown';

function judge(match: JSONRecord, ours: Ours): Judgement {
  const left = isRecord(match['left']) ? match['left'] : {};
  const negated = match['op'] === '!=';
  const meta = isRecord(left['meta']) ? textOf(left['meta']['key']) : undefined;
  const payload = isRecord(left['payload']) ? left['payload'] : {};
  const values = valuesOf(match['right']);
  if (meta === 'iifname' || meta === 'oifname') {
    if (values === undefined) return 'unknown';
    const hit = values.some((value) => typeof value === 'string' && nameMatches(value, ours.device));
    return hit === negated ? 'others' : hit ? 'ours' : 'any';
  }
  if (payload['field'] === 'saddr' || payload['field'] === 'daddr') {
    const ranges = values?.flatMap((value) => rangeOf(value) ?? []);
    if (ranges === undefined || ranges.length === 0) return 'unknown';
    if (negated)
      return ours.ranges.every((own) => ranges.some((range) => contains(range, own))) ? 'others' : 'any';
    if (ranges.some((range) => ours.ranges.some((own) => overlaps(range, own)))) return 'ours';
    // The other end of the packet, possibly a pod of this cluster.
    return payload['field'] === 'saddr' ? 'any' : 'others';
  }
  return 'unknown';
}

function matchesOf(rule: readonly JSONRecord[]): JSONRecord[] {
  return rule.flatMap((each) => (isRecord(each['match']) ? [each['match']] : 'xt' in each ? [{}] : []));
}

function valuesOf(right: unknown): unknown[] | undefined {
  if (typeof right === 'string') return right.startsWith('@') ? undefined : [right];
  if (isRecord(right) && Array.isArray(right['set'])) return right['set'] as unknown[];
  return isRecord(right) ? [right] : undefined;
}

/** nft writes a prefix match as `cni*`. */
function nameMatches(pattern: string, device: string): boolean {
  return pattern.endsWith('*') ? device.startsWith(pattern.slice(0, -1)) : pattern === device;
}

function rangeOf(value: unknown): Range | undefined {
  if (typeof value === 'string') return tryParseRange(`${value}/${value.includes(':') ? 128 : 32}`);
  const prefix = isRecord(value) && isRecord(value['prefix']) ? value['prefix'] : undefined;
  return prefix === undefined
    ? undefined
    : tryParseRange(`${textOf(prefix['addr'])}/${String(prefix['len'])}`);
}

function dedupe(problems: readonly HostProblem[]): HostProblem[] {
  return [...new Map(problems.map((problem) => [problem.message, problem])).values()];
}
