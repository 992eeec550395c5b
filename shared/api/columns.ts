/** Columns of `kubectl get` that several kinds share. */
import type { Kind } from './meta.ts';

type Column = Kind['columns'][number];

/** The status of a condition: True, False or Unknown. */
export function statusOf(type: string, name = type): Column {
  return { name, type: 'string', jsonPath: `.status.conditions[?(@.type=="${type}")].status` };
}

/** The reason of a condition, in one word. */
export function reasonOf(type: string): Column {
  return { name: 'Reason', type: 'string', jsonPath: `.status.conditions[?(@.type=="${type}")].reason` };
}

/** The message of a condition, a sentence; with `-o wide`. */
export function messageOf(type: string): Column {
  return {
    name: 'Message',
    type: 'string',
    jsonPath: `.status.conditions[?(@.type=="${type}")].message`,
    priority: 1,
  };
}

export const ready = statusOf('Ready');
export const reason = reasonOf('Ready');
export const message = messageOf('Ready');
export const age: Column = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' };
