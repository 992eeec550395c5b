import { z } from 'zod';
import { labelPattern, longestClusterID } from '../names.ts';

/** The API group and version of every Hawser kind. */
export const group = 'hawser.dev';
export const version = 'v1alpha1';
export const apiVersion = `${group}/${version}`;

/** The source of a kind's CRD: `deploy/crds` turns it into a manifest, the daemon and the CLI read and write its objects. */
export interface Kind<Spec extends z.ZodType = z.ZodType, Status extends z.ZodType = z.ZodType> {
  kind: string;
  plural: string;
  singular: string;
  shortNames: string[];
  scope: 'Cluster' | 'Namespaced';
  /** One sentence, shown by `kubectl explain`. */
  description: string;
  spec: Spec;
  status: Status;
  columns: {
    name: string;
    type: 'string' | 'integer' | 'date' | 'boolean';
    jsonPath: string;
    priority?: 0 | 1;
  }[];
  /** CEL rules over the whole object (`self`), in addition to the schema. */
  validations: Validation[];
}

/** A rule of `x-kubernetes-validations`; the message states what is allowed. */
export interface Validation {
  rule: string;
  message: string;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
  generateName?: string;
  managedFields?: unknown[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** Any object of the Kubernetes API. */
export interface KubernetesObject<Spec = unknown, Status = unknown> {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec?: Spec;
  status?: Status;
}

/** An object of one of Hawser's kinds: it always has a spec, and a status after the first reconciliation. */
export interface HawserObject<K extends Kind> {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  spec: z.infer<K['spec']>;
  status?: z.infer<K['status']>;
}

/** Kubernetes API conventions, "Typical status properties". */
export const condition = z.object({
  type: z.string().max(316).describe('Name of the condition in UpperCamelCase. Example: Ready.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether the condition holds.'),
  observedGeneration: z
    .int()
    .min(0)
    .optional()
    .describe('Generation of the object (metadata.generation) for which the condition was set.'),
  lastTransitionTime: z
    .string()
    .meta({ format: 'date-time' })
    .describe('Time at which the status last changed from one value to another.'),
  reason: z
    .string()
    .min(1)
    .max(1024)
    .describe('Cause of the status, as one word in UpperCamelCase, for programs.'),
  message: z
    .string()
    .max(32768)
    .describe('Cause of the status, as sentences for people: what is, what it waits for, what can be done.'),
});
export type Condition = z.infer<typeof condition>;

/** Conditions are a map by type for server-side apply, so that several controllers can own one each. */
export const conditions = z
  .array(condition)
  .max(32)
  .optional()
  .meta({
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
  })
  .describe('State of the object, one condition for each aspect.');

export const observedGeneration = z
  .int()
  .min(0)
  .optional()
  .describe('Generation of the object (metadata.generation) that the controller has acted on.');

/** What happens to offloaded pods while their consumer is away. */
export const onDisconnect = z.object({
  policy: z
    .enum(['Keep', 'StopAfter'])
    .default('Keep')
    .describe(
      'Keep leaves the pods running. StopAfter stops them after the given seconds and starts them again when the consumer is back. Default: Keep.',
    ),
  seconds: z
    .int()
    .min(1)
    .max(31_536_000)
    .optional()
    .describe('Seconds without a sign of the consumer before StopAfter stops the pods. Default: 300.'),
});

/** DNS label of a cluster, unique among the clusters that it peers with (RFC 1123, shortened to leave room for prefixes). */
export const clusterID = z.string().min(1).max(longestClusterID).regex(labelPattern);

/** RFC 1123 label. */
export const label = z.string().min(1).max(63).regex(labelPattern);

/** RFC 1123 subdomain: names of objects. */
export const objectName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);

/** IPv4 or IPv6 prefix in text; checked by `shared/net` where it is used (the regular expression only bounds it). */
export const prefix = z
  .string()
  .max(49)
  .regex(/^[0-9a-fA-F.:]+\/[0-9]{1,3}$/);

/** 32 bytes in base64 (RFC 4648, section 4): Ed25519 and X25519 public keys. */
export const key32 = z.string().regex(/^[A-Za-z0-9+/]{43}=$/);

/** `host:port`; the host is a DNS name, an IPv4 address, or an IPv6 address in brackets. */
export const hostPort = z
  .string()
  .max(260)
  .regex(/^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?):[0-9]{1,5}$/);

/** Kubernetes quantity in its usual forms, not negative. */
export const quantity = z
  .string()
  .max(32)
  .regex(/^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/);

export const httpsURL = z
  .string()
  .max(300)
  .regex(/^https:\/\/[^\s/?#@]+$/);

/** URL of an API server. It may stand below a path, as behind Rancher (`https://rancher.example/k8s/clusters/c-1`). */
export const apiServerURL = z
  .string()
  .max(300)
  .regex(/^https:\/\/[^\s/?#@]+(\/[A-Za-z0-9._~-]+)*$/);

/** SHA-256 in lower-case hexadecimal. */
export const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);

export const dateTime = z.string().max(40).meta({ format: 'date-time' });
