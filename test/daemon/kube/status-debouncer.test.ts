/** When a changed message of an unchanged status is written. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { StatusDebouncer } from '../../../daemon/kube/index.ts';
import type { Finding } from '../../../shared/conditions.ts';

const test = suite('status debouncer');
const finding = (status: Finding['status'], message: string): Finding => ({
  type: 'Ready',
  status,
  reason: 'Because',
  message,
});
const condition = (status: Finding['status'], message: string) => ({
  ...finding(status, message),
  lastTransitionTime: '2026-01-01T00:00:00Z',
});

test('a new or changed status is written at once', () => {
  const debouncer = new StatusDebouncer();
  assert.is(debouncer.left('a', undefined, [finding('False', 'no')], 0), 0);
  assert.is(debouncer.left('a', [condition('False', 'no')], [finding('True', 'yes')], 0), 0);
});

test('a changed message waits a bounded time after its first change, and is then written', () => {
  const debouncer = new StatusDebouncer();
  const present = [condition('False', 'one')];
  assert.is(debouncer.left('a', present, [finding('False', 'two')], 100), 1_000);
  assert.is(debouncer.left('a', present, [finding('False', 'three')], 700), 400);
  assert.is(debouncer.left('b', present, [finding('False', 'two')], 700), 1_000);
  assert.is(debouncer.left('a', present, [finding('False', 'four')], 1_100), 0);
  assert.is(debouncer.left('a', present, [finding('False', 'five')], 1_200), 1_000);
});

test('a message that returned to the written one, or whose status changed, waits no longer', () => {
  const debouncer = new StatusDebouncer();
  const present = [condition('False', 'one')];
  debouncer.left('a', present, [finding('False', 'two')], 0);
  assert.is(debouncer.left('a', present, [finding('False', 'one')], 500), 0);
  assert.is(debouncer.left('a', present, [finding('False', 'two')], 2_000), 1_000);
  assert.is(debouncer.left('a', present, [finding('True', 'yes')], 2_100), 0);
});

test('a changed status of one condition writes all', () => {
  const debouncer = new StatusDebouncer();
  const other = { ...finding('False', 'x'), type: 'Path' };
  assert.is(debouncer.left('a', [condition('False', 'one')], [finding('False', 'two'), other], 0), 0);
});

test.run();
