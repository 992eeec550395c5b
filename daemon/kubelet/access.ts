/**
 * Authentication and authorization as in the kubelet (k8s.io/kubernetes, pkg/kubelet/server/auth.go): users are authenticated
 * by the cluster's client CA or a TokenReview, and authorized by a SubjectAccessReview on the node.
 */
import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { kind, type KubeClient } from '../kube/index.ts';
import { type Clock } from '../../shared/time.ts';
import type { Route } from './routes.ts';

export interface User {
  name: string;
  groups: readonly string[];
  uid?: string;
  extra?: Record<string, string[]>;
}

/** The rights that a SubjectAccessReview checks; any one of them suffices. */
export interface Attributes {
  verb: 'get' | 'create';
  /** Subresource of `nodes`. */
  subresource: 'proxy' | 'pods' | 'healthz' | 'stats' | 'metrics';
}

/**
 * The rights that a route requires. Exec, attach and port-forward always need `create`, even by GET (WebSocket). The kubelet
 * accepts `get nodes/proxy` for them, a right that looks read-only but allows running commands.
 */
export function attributesOf(route: Route): readonly Attributes[] {
  return needed[route.kind];
}

const look: Attributes = { verb: 'get', subresource: 'proxy' };
const act: Attributes = { verb: 'create', subresource: 'proxy' };
const needed: Readonly<Record<Route['kind'], readonly Attributes[]>> = {
  Exec: [act],
  Attach: [act],
  PortForward: [act],
  Logs: [look],
  // The narrower right first, as with KubeletFineGrainedAuthz.
  Pods: [{ verb: 'get', subresource: 'pods' }, look],
  RunningPods: [{ verb: 'get', subresource: 'pods' }, look],
  Health: [{ verb: 'get', subresource: 'healthz' }, look],
  Summary: [{ verb: 'get', subresource: 'stats' }],
  ResourceMetrics: [{ verb: 'get', subresource: 'metrics' }],
};

/** Caches a bounded number of reviews for a short time. */
interface Memory<T> {
  get(key: string, now: number): T | undefined;
  set(key: string, value: T, until: number): void;
}

const remembered = 1024;
/** Short, so that a revoked right soon has no effect. */
const rememberMilliseconds = 10_000;

function memory<T>(): Memory<T> {
  const entries = new Map<string, { value: T; until: number }>();
  return {
    get(key, now) {
      const entry = entries.get(key);
      return entry === undefined || entry.until <= now ? undefined : entry.value;
    },
    set(key, value, until) {
      entries.delete(key);
      if (entries.size >= remembered) entries.delete(entries.keys().next().value!);
      entries.set(key, { value, until });
    },
  };
}

export interface Access {
  /** Undefined if the user is not authenticated. */
  authenticate(
    socket: TLSSocket,
    authorization: string | undefined,
    signal: AbortSignal,
  ): Promise<User | undefined>;
  /** An undefined node means all nodes. */
  authorize(user: User, route: Route, nodeName: string | undefined, signal: AbortSignal): Promise<boolean>;
}

/** Reviews by the own API server. */
export function createAccess(kube: KubeClient, clock: Clock): Access {
  const tokens = memory<User | null>();
  const decisions = memory<boolean>();

  async function reviewToken(token: string, signal: AbortSignal): Promise<User | undefined> {
    const now = clock.monotonic();
    const key = createHash('sha256').update(token).digest('base64');
    const known = tokens.get(key, now);
    if (known !== undefined) return known ?? undefined;
    const reviewed = (await kube.create(
      {
        apiVersion: kind.tokenReview.apiVersion,
        kind: kind.tokenReview.kind,
        metadata: { name: '' },
        spec: { token },
      },
      signal,
    )) as {
      status?: {
        authenticated?: boolean;
        user?: { username?: string; uid?: string; groups?: string[]; extra?: Record<string, string[]> };
      };
    };
    const said = reviewed.status?.authenticated === true ? reviewed.status.user : undefined;
    const user =
      said?.username === undefined
        ? undefined
        : {
            name: said.username,
            groups: said.groups ?? [],
            ...(said.uid !== undefined && { uid: said.uid }),
            ...(said.extra !== undefined && { extra: said.extra }),
          };
    tokens.set(key, user ?? null, now + rememberMilliseconds);
    return user;
  }

  async function review(user: User, wanted: Attributes, nodeName: string | undefined, signal: AbortSignal) {
    const answer = (await kube.create(
      {
        apiVersion: kind.subjectAccessReview.apiVersion,
        kind: kind.subjectAccessReview.kind,
        metadata: { name: '' },
        spec: {
          user: user.name,
          groups: user.groups,
          ...(user.uid !== undefined && { uid: user.uid }),
          ...(user.extra !== undefined && { extra: user.extra }),
          resourceAttributes: {
            resource: 'nodes',
            subresource: wanted.subresource,
            verb: wanted.verb,
            version: 'v1',
            ...(nodeName !== undefined && { name: nodeName }),
          },
        },
      },
      signal,
    )) as { status?: { allowed?: boolean; denied?: boolean } };
    return answer.status?.allowed === true && answer.status.denied !== true;
  }

  return {
    async authenticate(socket, authorization, signal) {
      const fromCertificate = userOfCertificate(socket);
      if (fromCertificate !== undefined) return fromCertificate;
      const token = /^Bearer ([A-Za-z0-9._~+/=-]{1,16384})$/.exec(authorization ?? '')?.[1];
      return token === undefined ? undefined : reviewToken(token, signal);
    },
    async authorize(user, route, nodeName, signal) {
      for (const wanted of attributesOf(route)) {
        const now = clock.monotonic();
        const key = JSON.stringify([user, wanted, nodeName]);
        const known = decisions.get(key, now);
        const allowed = known ?? (await review(user, wanted, nodeName, signal));
        if (known === undefined) decisions.set(key, allowed, now + rememberMilliseconds);
        if (allowed) return true;
      }
      return false;
    },
  };
}

/** A certificate that the cluster's client CA signed: CN is the user, each O a group (Kubernetes, "X509 client certificates"). */
function userOfCertificate(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const subject = socket.getPeerCertificate().subject as unknown as
    { CN?: string | string[]; O?: string | string[] } | undefined;
  const name = Array.isArray(subject?.CN) ? undefined : subject?.CN;
  if (name === undefined || name === '') return undefined;
  const groups = subject?.O === undefined ? [] : [subject.O].flat();
  return { name, groups: [...groups, 'system:authenticated'] };
}
