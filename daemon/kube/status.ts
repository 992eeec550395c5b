/** Writes a feature's part of an object's status by server-side apply, only when it changed. */
import type { Condition, KubernetesObject } from '../../shared/api/meta.ts';
import { isTrue, ownConditions, turnedConditions, type Finding } from '../../shared/conditions.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { KubeError } from '../../shared/kube/errors.ts';
import type { EventRecorder } from './events.ts';

/** HTTP status of an object that its schema refuses. */
const unprocessable = 422;

/** Which of these status fields the API server refused by their value. */
function refusedFields(error: unknown, fields: readonly string[]): string[] {
  if (!(error instanceof KubeError) || error.status !== unprocessable) return [];
  const refused = error.fields.map((path) => /^status\.([A-Za-z0-9]+)/.exec(path)?.[1]);
  return fields.filter((field) => refused.includes(field));
}

export interface StatusWrite<T extends KubernetesObject> {
  kube: Pick<KubeClient, 'apply'>;
  /** `hawser-<feature>`: owns the given fields and conditions, and must always pass all of them. */
  fieldManager: string;
  /** The object as last read. */
  object: T;
  /** All conditions of this writer. */
  findings: readonly Finding[];
  /**
   * All other status fields of this writer; undefined ones are left out, which removes them if it owned them. Typed by the
   * kind, since the API server rejects the whole apply if it contains an undeclared field.
   */
  fields?: {
    [Field in keyof NonNullable<T['status']>]?: NonNullable<T['status']>[Field] | undefined;
  };
  /** Milliseconds since 1970. */
  now: number;
  /** Records Events for transitions of conditions: Normal for True, Warning for a True one that became False. */
  events?: EventRecorder;
}

/** JSON with sorted keys, so that equal content gives equal text. Undefined members are ignored. */
export function stableText(value: unknown): string {
  return JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'object' && member !== null && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : member,
  );
}

/**
 * Applies conditions and fields to the status; returns whether a write was needed. The object must exist: an apply with a uid
 * fails with Conflict when the object was replaced.
 */
export async function applyStatus<T extends KubernetesObject>(
  { kube, fieldManager, object, findings, fields: own = {}, now, events }: StatusWrite<T>,
  signal: AbortSignal,
): Promise<boolean> {
  const present = (object.status ?? {}) as Record<string, unknown> & { conditions?: Condition[] };
  const generation = object.metadata.generation;
  const fields: Record<string, unknown> = { observedGeneration: generation, ...own };
  const conditions = ownConditions(
    present.conditions,
    findings.map((finding) => ({ observedGeneration: generation, ...finding })),
    now,
  );
  const unchanged =
    Object.entries(fields).every(([name, value]) => stableText(present[name]) === stableText(value)) &&
    conditions.every((condition) => present.conditions?.includes(condition));
  if (unchanged) return false;
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  const { name, namespace, uid } = object.metadata;
  const write = (status: Record<string, unknown>) =>
    kube.apply(
      {
        apiVersion: object.apiVersion,
        kind: object.kind,
        metadata: { name, ...(namespace !== undefined && { namespace }), ...(uid !== undefined && { uid }) },
        status,
      } as unknown as T,
      { fieldManager, subresource: 'status' },
      signal,
    );
  const conditionsPart = conditions.length > 0 ? { conditions } : {};
  try {
    await write({ ...given, ...conditionsPart });
  } catch (error) {
    const refused = refusedFields(error, Object.keys(given));
    if (refused.length === 0) throw error;
    // One value that cannot be stored must not take the rest of the status with it. It is tried again at the next change.
    const rest = Object.entries(given).filter(([field]) => !refused.includes(field));
    const finding: Finding = {
      type: 'StatusComplete',
      status: 'False',
      reason: 'FieldRefused',
      message:
        `the API server refused status.${refused.join(', status.')}: ${(error as KubeError).detail}`.slice(
          0,
          1024,
        ),
      observedGeneration: generation,
    };
    const incomplete = ownConditions(present.conditions, [finding], now);
    await write({ ...Object.fromEntries(rest), conditions: [...conditions, ...incomplete] });
    if (!present.conditions?.some(({ type }) => type === finding.type))
      events?.emit(object, 'Warning', finding.reason, finding.message);
    return true;
  }
  for (const condition of turnedConditions(present.conditions, conditions)) {
    if (condition.status === 'True') events?.emit(object, 'Normal', condition.reason, condition.message);
    else if (condition.status === 'False' && isTrue(present.conditions, condition.type)) {
      events?.emit(object, 'Warning', condition.reason, condition.message);
    }
  }
  return true;
}
