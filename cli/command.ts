/** What a command of `hawser` is made of, and what it is given. */
import type { Terminal } from './terminal.ts';

export interface Option {
  type: 'string' | 'boolean';
  /** One letter. */
  short?: string;
  multiple?: boolean;
  /** What stands for the value in help, such as `SECONDS`. */
  value?: string;
  help: string;
}

export interface Command {
  /** As it is typed: `token create`. */
  name: string;
  summary: string;
  /** Arguments after the name, as help shows them: `TOKEN`, `[PEERING]`. */
  arguments?: string;
  /** Paragraphs of help: what it does, what it leaves to the cluster, what one sees. */
  description: string;
  options: Record<string, Option>;
  /** What somebody wants, and what they type. */
  examples: [purpose: string, line: string][];
  run(invocation: Invocation): Promise<void>;
}

export interface Invocation {
  /** Positional arguments, the command's name not included. */
  arguments: string[];
  options: Record<string, string | boolean | (string | boolean)[] | undefined>;
  terminal: Terminal;
  environment: Record<string, string | undefined>;
  /** Reads standard input to its end; refuses when it is a terminal or closed. */
  readInput(): Promise<string>;
  signal: AbortSignal;
  now(): number;
  /** Set by a command that ends well with something else than 0. */
  exitCode: number;
}

/** The options of every command that speaks to a cluster. */
export const clusterOptions = {
  kubeconfig: {
    type: 'string',
    value: 'FILE',
    help: 'kubeconfig to use (default: KUBECONFIG, ~/.kube/config)',
  },
  context: { type: 'string', value: 'NAME', help: 'context in it (default: its current one)' },
  namespace: {
    type: 'string',
    short: 'n',
    value: 'NAME',
    help: 'where Hawser runs (default: hawser-system)',
  },
} as const satisfies Record<string, Option>;

export const outputOption = {
  output: { type: 'string', short: 'o', value: 'json|yaml', help: 'print the same facts for programs' },
} as const satisfies Record<string, Option>;

export const timeoutOption = (seconds: number) =>
  ({
    timeout: {
      type: 'string',
      value: 'SECONDS',
      help: `how long to wait (default: ${seconds}; 0: do not wait)`,
    },
  }) as const satisfies Record<string, Option>;

/** The value of a string option. */
export function text(invocation: Invocation, name: string): string | undefined {
  const value = invocation.options[name];
  return typeof value === 'string' ? value : undefined;
}

/** The values of an option that may be given several times. */
export function texts(invocation: Invocation, name: string): string[] {
  const value = invocation.options[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}
