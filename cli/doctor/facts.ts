/** What `hawser doctor` knows: read once, then judged. Whatever could not be read is absent. */
import type { Condition } from '../../shared/api/meta.ts';
import type { PeeringToken } from '../../shared/api/peerings.ts';
import type { ClusterObjects } from '../status-report.ts';

export interface Facts {
  /** Milliseconds since 1970. */
  now: number;
  /** Version of this command. */
  version: string;
  /** Where Hawser runs. */
  namespace: string;
  /** Only this peering is asked about (name, or ID of the remote); undefined: all. */
  only: string | undefined;
  objects: ClusterObjects;
  tokens: readonly PeeringToken[] | undefined;
  nodes: readonly NodeFacts[] | undefined;
  workloads: readonly WorkloadFacts[] | undefined;
  /** What Hawser's own accounts may; undefined: this user may not ask. */
  rights: readonly RightFacts[] | undefined;
  /** By name of the virtual node. */
  kubelets: Readonly<Record<string, KubeletFacts>>;
  /** Outgoing peerings whose provider the controller was told to ask just now, and did not. */
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
  wanted: number;
  ready: number;
}

export interface RightFacts {
  account: string;
  /** As people say it: `update incomingpeerings.hawser.dev/status`. */
  right: string;
  allowed: boolean;
}

/** What came of asking the kubelet API of a virtual node by way of the API server. */
export interface KubeletFacts {
  /** HTTP status; 0: no answer. */
  status: number;
  message: string;
}
