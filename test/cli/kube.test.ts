/** The command's requests to an API server, and the messages of failures. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { CommandError, UsageError } from '../../cli/exit.ts';
import { answerOf, core, hawser, Kube } from '../../cli/kube.ts';
import { KubeconfigError } from '../../daemon/clients/kubernetes/kubeconfig.ts';
import { issue, standIn, type Issued, type Standing } from '../daemon/clients/kubernetes/servers.ts';

const test = suite('the command’s requests');
let authority: Issued;
let server: Standing;
let kube: Kube;
let answer: [number, object] | undefined;
let busy = 0;

test.before(async () => {
  authority = await issue('cluster', undefined, { authority: true });
  const leaf = await issue('apiserver', authority, { addresses: ['127.0.0.1'] });
  server = await standIn(leaf, [], undefined, () => {
    busy -= 1;
    return busy >= 0 ? [429, { kind: 'Status', message: 'too busy' }] : answer;
  });
});
test.before.each(() => {
  answer = undefined;
  busy = 0;
  kube = new Kube(
    () => Promise.resolve({ url: `https://127.0.0.1:${server.port}`, ca: authority.text, context: 'elm' }),
    'hawser-system',
    new AbortController().signal,
  );
});
test.after.each(() => kube.close());
test.after(() => server.stop());

const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'it', namespace: 'ns' } };
const requests: [what: string, run: () => Promise<unknown>, line: string, type?: string][] = [
  ['get', () => kube.get(hawser('tunnels'), 'far'), 'GET /apis/hawser.dev/v1alpha1/tunnels/far'],
  [
    'list',
    () => kube.list(core('pods', 'ns'), 'a=b'),
    'GET /api/v1/namespaces/ns/pods?labelSelector=a%3Db&limit=500',
  ],
  ['list everywhere', () => kube.list(core('pods')), 'GET /api/v1/pods?limit=500'],
  [
    'create',
    () => kube.create(core('secrets', 'ns'), object),
    'POST /api/v1/namespaces/ns/secrets?fieldManager=hawser-cli',
    'application/json',
  ],
  [
    'patch',
    () => kube.patch(core('secrets', 'ns'), 'it', { a: 1 }),
    'PATCH /api/v1/namespaces/ns/secrets/it?fieldManager=hawser-cli',
    'application/merge-patch+json',
  ],
  [
    'apply',
    () => kube.apply(core('secrets', 'ns'), object),
    'PATCH /api/v1/namespaces/ns/secrets/it?fieldManager=hawser-cli&force=true',
    'application/apply-patch+yaml',
  ],
  [
    'remove',
    () => kube.remove(core('secrets', 'ns'), 'it', 'uid'),
    'DELETE /api/v1/namespaces/ns/secrets/it',
    'application/json',
  ],
  ['probe', () => kube.probe('/readyz', 1000), 'GET /readyz'],
];
for (const [what, run, line, type] of requests)
  test(what, async () => {
    await run();
    const seen = server.seen.at(-1);
    assert.is(`${seen?.method} ${seen?.url}`, line);
    assert.is(seen?.headers['content-type'], type);
    assert.is(seen?.headers['user-agent'], 'hawser-cli');
  });

test('a list keeps the kinds in the API server’s answer', async () => {
  answer = [200, { metadata: {}, items: [{ ...object, kind: 'Tunnel' }] }];
  const [item] = await kube.list(hawser('tunnels'));
  assert.is(item?.kind, 'Tunnel');
});

test('a missing object, or one of a kind that is not installed, is undefined', async () => {
  answer = [404, { kind: 'Status', reason: 'NotFound', message: 'not found' }];
  assert.is(await kube.get(hawser('tunnels'), 'far'), undefined);
  assert.equal(await kube.list(hawser('tunnels')), []);
  await kube.remove(hawser('tunnels'), 'far');
});

test('a request to a busy API server (429) is repeated', async () => {
  busy = 2;
  const before = server.seen.length;
  assert.equal(await kube.list(core('pods')), []);
  assert.is(server.seen.length - before, 3);
});

async function failure(work: Promise<unknown>): Promise<Error> {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was taken');
}

test('a refused request explains what to do, and its answer is available', async () => {
  answer = [403, { kind: 'Status', reason: 'Forbidden', message: 'u may not' }];
  const error = await failure(kube.list(core('pods')));
  assert.instance(error, CommandError);
  assert.is(
    error.message,
    'the API server answers 403: u may not; ask for these rights, or choose another user with --context',
  );
  assert.is(answerOf(error)?.status, 403);
});

test('an unreachable API server is named by context and address', async () => {
  const { signal } = new AbortController();
  const nowhere = new Kube(
    () => Promise.resolve({ url: 'https://127.0.0.1:1', context: 'elm' }),
    'ns',
    signal,
  );
  const error = await failure(nowhere.list(core('pods')));
  assert.instance(error, CommandError);
  assert.match(
    error.message,
    /^cannot reach the API server of context "elm" \(127\.0\.0\.1:1\): .*ECONNREFUSED/,
  );
  assert.is(answerOf(error), undefined);
  assert.is((await nowhere.probe('/readyz', 1000)).status, 0);
});

test('an unusable kubeconfig is a CommandError, an unknown context a UsageError', async () => {
  for (const [unknownContext, kind] of [
    [true, UsageError],
    [false, CommandError],
  ] as const) {
    const reading = () => Promise.reject(new KubeconfigError('no such thing', { unknownContext }));
    const error = await failure(
      new Kube(reading, 'ns', new AbortController().signal).get(core('pods', 'ns'), 'p'),
    );
    assert.instance(error, kind);
    assert.is(error.message, 'no such thing');
  }
});

test.run();
