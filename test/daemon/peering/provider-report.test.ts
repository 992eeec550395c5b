/** When a consumer requests the provider report, and how it is evaluated. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { askAt, problemOf, saysTheSame, isHealthy } from '../../../daemon/peering/provider-report.ts';
import {
  CertificatePinError,
  GatewayProblem,
  GatewayUnreachable,
} from '../../../daemon/clients/gateway/index.ts';
import { apiVersion } from '../../../shared/api/meta.ts';
import type { OutgoingPeering, ProviderReport } from '../../../shared/api/peerings.ts';
import { Problem, type ProblemName } from '../../../shared/errors.ts';

const noon = Date.parse('2026-01-01T12:00:00Z');
const word: ProviderReport = {
  requestedAt: '2026-01-01T12:00:00Z',
  reportedAt: '2026-01-01T12:00:00Z',
  clockOffsetSeconds: 0.1,
  state: {
    version: '0.1.0',
    desired: 'Active',
    tenantReady: true,
    grant: { cpu: '4', memory: '8Gi', pods: 110, podSecurity: 'baseline' },
    used: { cpu: '1', memory: '1Gi', pods: 1 },
    tunnel: { established: true, pathVerified: true, latestHandshake: '2026-01-01T11:59:00Z' },
    problems: [],
  },
};

function peering(provider: ProviderReport | undefined, request?: string): OutgoingPeering {
  return {
    apiVersion,
    kind: 'OutgoingPeering',
    metadata: {
      name: 'oak',
      ...(request !== undefined && { annotations: { 'hawser.dev/ask-provider': request } }),
    },
    spec: { remoteCluster: 'oak', peering: 'default', nodeName: 'hawser-oak', desired: 'Active' },
    ...(provider !== undefined && { status: { providerReport: provider } }),
  };
}

const begun: ProviderReport = {
  ...word,
  state: { ...word.state, tunnel: { established: false, pathVerified: false } } as ProviderReport['state'],
};

test('a report is requested at once when unknown or asked for, soon when unhealthy, otherwise once a minute', () => {
  const cases: [string, OutgoingPeering, Parameters<typeof askAt>[1], number][] = [
    ['never asked', peering(undefined), undefined, 0],
    ['asked at noon', peering(word), undefined, noon + 60_000],
    [
      'asked since, and not written',
      peering(word),
      { at: noon + 90_000, request: undefined, unhealthy: 0 },
      noon + 150_000,
    ],
    ['not well, as another process heard', peering(begun), undefined, noon + 3_000],
    ['not well', peering(begun), { at: noon, request: undefined, unhealthy: 1 }, noon + 3_000],
    ['still not well', peering(begun), { at: noon, request: undefined, unhealthy: 3 }, noon + 12_000],
    ['not well for long', peering(begun), { at: noon, request: undefined, unhealthy: 99 }, noon + 60_000],
    [
      'well since, and not written',
      peering(begun),
      { at: noon, request: undefined, unhealthy: 0 },
      noon + 60_000,
    ],
    ['a wish', peering(word, 'a'), undefined, 0],
    ['a wish that was answered', peering({ ...word, request: 'a' }, 'a'), undefined, noon + 60_000],
    [
      'answered, and the cache is behind',
      peering(word, 'a'),
      { at: noon, request: 'a', unhealthy: 0 },
      noon + 60_000,
    ],
    ['another wish', peering({ ...word, request: 'a' }, 'b'), { at: noon, request: 'a', unhealthy: 0 }, 0],
    ['a time that is none', peering({ ...word, requestedAt: 'never' }), undefined, 0],
  ];
  for (const [name, given, asked, expected] of cases) assert.is(askAt(given, asked), expected, name);
});

test('a report without problems is healthy', () => {
  const { state } = word;
  assert.ok(state?.tunnel);
  const cases: [string, ProviderReport, boolean][] = [
    ['all of it', word, true],
    ['a tunnel that is not up yet', begun, false],
    [
      'a path that is not verified',
      { ...word, state: { ...state, tunnel: { ...state.tunnel, pathVerified: false } } },
      false,
    ],
    ['a tenant that is not ready', { ...word, state: { ...state, tenantReady: false } }, false],
    [
      'a problem at the provider',
      { ...word, state: { ...state, problems: [{ type: 'Ready', message: 'no node is a gateway' }] } },
      false,
    ],
    ['not told', { ...word, problem: { reason: 'ProviderUnreachable', message: 'no answer' } }, false],
  ];
  for (const [name, given, expected] of cases) assert.is(isHealthy(given), expected, name);
});

test('a report is written when more than times changed', () => {
  const { state } = word;
  assert.ok(state?.tunnel);
  const later: ProviderReport = { ...word, requestedAt: '2026-01-01T12:05:00Z', clockOffsetSeconds: 0.4 };
  const handshake = { ...state.tunnel, latestHandshake: '2026-01-01T12:04:00Z' };
  const cases: [string, ProviderReport | undefined, ProviderReport, boolean][] = [
    ['the first', undefined, word, false],
    ['later', word, later, true],
    ['another handshake', word, { ...later, state: { ...state, tunnel: handshake } }, true],
    ['clocks go apart', word, { ...later, clockOffsetSeconds: 9 }, false],
    ['a problem', word, { ...later, problem: { reason: 'WrongPin', message: 'another key' } }, false],
    [
      'more is used',
      word,
      { ...later, state: { ...state, used: { cpu: '2', memory: '1Gi', pods: 2 } } },
      false,
    ],
    ['the answer to a wish', word, { ...later, request: 'a' }, false],
    [
      'the path is lost',
      word,
      { ...later, state: { ...state, tunnel: { established: true, pathVerified: false } } },
      false,
    ],
  ];
  for (const [name, before, after, expected] of cases) assert.is(saysTheSame(before, after), expected, name);
});

test('the reason of a missing report is named', () => {
  const said = (name: ProblemName, detail?: string) =>
    new GatewayProblem(
      new Problem(name, 'said', detail === undefined ? {} : { errors: [{ field: 'x', detail }] }).toDocument(
        undefined,
      ),
      undefined,
    );
  const cases: [unknown, string][] = [
    [new CertificatePinError('another key'), 'WrongPin'],
    [said('signature-refused', 'ClockSkew'), 'ClockSkew'],
    [said('signature-refused', 'BadSignature'), 'SignatureRefused'],
    [said('no-peering'), 'PeeringEnded'],
    [said('method-not-allowed'), 'NotReported'],
    [said('not-found'), 'NotReported'],
    [said('overloaded'), 'ProviderUnreachable'],
    [new GatewayUnreachable('no answer'), 'ProviderUnreachable'],
    [said('forbidden'), 'ProviderRefuses'],
  ];
  for (const [error, reason] of cases) assert.is(problemOf(error).reason, reason);
  assert.is(problemOf(new Error('x'.repeat(5000))).message.length, 1024);
});

test.run();
