/** The fields of a kubeconfig (client-go, tools/clientcmd/api/v1) that are read. */
import type { Environment } from '../proxy.ts';

export interface Cluster {
  server?: string;
  'certificate-authority'?: string;
  'certificate-authority-data'?: string;
  'tls-server-name'?: string;
  'insecure-skip-tls-verify'?: boolean;
  'proxy-url'?: string;
  extensions?: { name?: string; extension?: unknown }[];
  [field: string]: unknown;
}

export interface User {
  'client-certificate'?: string;
  'client-certificate-data'?: string;
  'client-key'?: string;
  'client-key-data'?: string;
  token?: string;
  tokenFile?: string;
  username?: string;
  password?: string;
  as?: string;
  'as-uid'?: string;
  'as-groups'?: string[];
  'as-user-extra'?: Record<string, string[]>;
  exec?: ExecPlugin;
  'auth-provider'?: { name?: string; config?: Record<string, string> };
  [field: string]: unknown;
}

/** A program that prints an ExecCredential. */
export interface ExecPlugin {
  apiVersion?: string;
  command?: string;
  args?: string[];
  env?: { name: string; value: string }[] | null;
  installHint?: string;
  provideClusterInfo?: boolean;
}

export interface Context {
  cluster?: string;
  user?: string;
}

/** The user and cluster that credentials belong to. */
export interface Where {
  /** Name of the user in the kubeconfig. */
  name: string;
  /** Names the credentials in messages. */
  of: string;
  cluster: Cluster;
  /** PEM. */
  ca: string | undefined;
  environment: Environment;
}
