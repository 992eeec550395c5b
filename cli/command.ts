/** The parts of a command of `hawser`, and its inputs. */
import { durationText } from './duration.ts';
import type { Terminal } from './terminal.ts';

export interface Option {
  type: 'string' | 'boolean';
  /** One letter. */
  short?: string;
  multiple?: boolean;
  /** Placeholder of the value in help, such as `DURATION`. */
  value?: string;
  help: string;
}

export interface Command {
  /** As it is typed: `token create`. */
  name: string;
  summary: string;
  /** Positional arguments, separated by blanks; optional ones in brackets: `TOKEN`, `[PEERING]`, `POD POD`. */
  arguments?: string;
  /** Paragraphs of help: what it does, what the cluster does afterwards, what the person sees. */
  description: string;
  options: Record<string, Option>;
  /** A purpose, and the line to type for it. */
  examples: [purpose: string, line: string][];
  run(invocation: Invocation): Promise<void>;
}

export interface Invocation {
  /** Positional arguments, without the command's name. As many as the command takes. */
  arguments: string[];
  options: Record<string, string | boolean | (string | boolean)[] | undefined>;
  terminal: Terminal;
  environment: Record<string, string | undefined>;
  /** Reads standard input to its end. Rejects when it is a terminal or closed. */
  readInput(): Promise<string>;
  signal: AbortSignal;
  now(): number;
  /** Set by a command that finishes with a code other than 0. */
  exitCode: number;
}

/** The options of every command that connects to a cluster. */
export const clusterOptions = {
  kubeconfig: {
    type: 'string',
    value: 'FILE',
    help: 'path to the kubeconfig file (default: KUBECONFIG, then ~/.kube/config)',
  },
  context: {
    type: 'string',
    value: 'NAME',
    help: 'kubeconfig context to use (default: the current context)',
  },
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NAME',
    help: 'namespace in which Hawser is installed (default: hawser-system)',
  },
} as const satisfies Record<string, Option>;

export const outputOption = {
  output: { type: 'string', short: 'o', value: 'FORMAT', help: 'output format: json or yaml' },
} as const satisfies Record<string, Option>;

export const timeoutOption = (seconds: number) =>
  ({
    timeout: {
      type: 'string',
      value: 'DURATION',
      help: `how long to wait for completion, such as 90s or 5m (default: ${durationText(seconds)}; 0: do not wait)`,
    },
  }) as const satisfies Record<string, Option>;

/** The value of a string option. */
export function text(invocation: Invocation, name: string): string | undefined {
  const value = invocation.options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The values of an option that can be given several times. */
export function texts(invocation: Invocation, name: string): string[] {
  const value = invocation.options[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
