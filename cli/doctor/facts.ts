/** The input of `hawser doctor`'s checks, read once. What could not be read is absent. */
import type { Condition } from '../../shared/api/meta.ts';
import type { PeeringToken } from '../../shared/api/peerings.ts';
import type { ClusterObjects } from '../status-report.ts';

export interface Facts {
  /** Milliseconds since 1970. */
  now: number;
  /** Version of this command. */
  version: string;
  /** The namespace in which Hawser is installed. */
  namespace: string;
  /** The only peering to check (its name, or the ID of the remote); undefined: all. */
  only: string | undefined;
  objects: ClusterObjects;
  tokens: readonly PeeringToken[] | undefined;
  nodes: readonly NodeFacts[] | undefined;
  workloads: readonly WorkloadFacts[] | undefined;
  /** The rights of Hawser's service accounts; undefined: this user may not read them. */
  rights: readonly RightFacts[] | undefined;
  /** By name of the virtual node. */
  kubelets: Readonly<Record<string, KubeletFacts>>;
  /** Outgoing peerings whose provider report was requested just now, and did not arrive. */
  unanswered: readonly string[];
}

export interface NodeFacts {
  name: string;
  gateway: boolean;
  virtual: boolean;
  ready: Condition['status'];
  readyMessage: string;
}

export interface WorkloadFacts {
  kind: string;
  name: string;
  desired: number;
  ready: number;
}

export interface RightFacts {
  account: string;
  /** For people: `update incomingpeerings.hawser.dev/status`. */
  right: string;
  allowed: boolean;
}

/** The answer of a virtual node's kubelet API through the API server. */
export interface KubeletFacts {
  /** HTTP status; 0: no answer. */
  status: number;
  message: string;
}
