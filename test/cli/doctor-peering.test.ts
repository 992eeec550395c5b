/** Findings of `hawser doctor` for one fault of a peering at a time: control plane, tunnel, offloading. */
import { test } from 'uvu';
import {
  assertNamed,
  condition,
  grant,
  object,
  provider,
  setCondition,
  type Fault,
} from './doctor-setting.ts';

const faults: Fault[] = [
  [
    'network policies that do not hold',
    'network-policies',
    /closed does not hold/,
    ({ facts }) => {
      const failed = condition('NetworkPoliciesHold', 'False', 'closed does not hold for pods at providers.');
      const offloading = object('NamespaceOffloading', 'offloading', {
        status: { conditions: [failed], remotes: [{ peering: 'oak' }] },
      });
      return { objects: { ...facts.objects, offloadings: [offloading] } };
    },
  ],
  [
    'a wrong certificate pin',
    'certificate-pin',
    /another key than the peering token names/,
    (all) => {
      provider(all).word.problem = {
        reason: 'WrongPin',
        message: 'the gateway at 192.0.2.9 shows a certificate with another key than the peering token names',
      };
    },
  ],
  [
    'a wrong certificate pin before the first identity',
    'certificate-pin',
    /certificate with another key/,
    ({ outgoing }) => {
      delete outgoing.status?.identity;
      delete outgoing.status?.providerReport;
      setCondition(
        outgoing,
        condition('IdentityValid', 'False', 'a certificate with another key', 'KeyMismatch'),
      );
    },
  ],
  [
    'an expired token at the consumer',
    'token',
    /the peering token expired at/,
    ({ outgoing }) => {
      delete outgoing.status?.identity;
      delete outgoing.status?.providerReport;
      setCondition(
        outgoing,
        condition('IdentityValid', 'False', 'the peering token expired at 11:00', 'TokenRefused'),
      );
    },
  ],
  [
    'an expired token at the provider',
    'token-expired',
    /token-1 expired 60 min ago and was never redeemed/,
    () => ({
      tokens: [
        object('PeeringToken', 'token-1', {
          spec: { secretHash: 'a'.repeat(64), expiresAt: '2026-01-01T11:00:00Z', grant },
        }),
      ],
    }),
  ],
  [
    'clock skew that is refused',
    'clock-skew',
    /set the clocks, at most 5 minutes/,
    (all) => {
      provider(all).word.problem = {
        reason: 'ClockSkew',
        message: 'the signature was created at 11:00 and it is 12:00 here: set the clocks, at most 5 minutes',
      };
    },
  ],
  [
    'clock skew that is not yet refused',
    'clock-skew',
    /the clock of oak is 2 min behind this cluster’s/,
    (all) => {
      provider(all).word.clockOffsetSeconds = -120;
    },
  ],
  [
    'blocked UDP',
    'udp-blocked',
    /no handshake with oak yet; its endpoints.*; oak reports none either/,
    (all) => {
      provider(all).state.tunnel = { established: false, pathVerified: false };
      setCondition(
        all.tunnel,
        condition(
          'Established',
          'False',
          'no handshake with oak yet; its endpoints: 192.0.2.7:7470',
          'WaitingForHandshake',
        ),
      );
    },
  ],
  [
    'an MTU black hole',
    'mtu-black-hole',
    /passes packets of 1200 bytes, but 1420 were planned/,
    ({ tunnel }) => {
      if (tunnel.status) tunnel.status.pathMTU = 1200;
    },
  ],
  [
    'an exhausted quota at the consumer',
    'quota',
    /the grant of oak is used up: 10 of 10 pods/,
    (all) => {
      provider(all).state.used = { cpu: '1', memory: '1Gi', pods: 10 };
    },
  ],
  [
    'an exhausted quota at the provider',
    'quota',
    /fir has used up its grant: 4 of 4 CPUs/,
    ({ incoming }) => {
      if (incoming.status) incoming.status.used = { cpu: '4', memory: '1Gi', pods: 2 };
    },
  ],
  [
    'a session over which no packet comes back',
    'path',
    /no answer of oak at 10\.128\.0\.1 since 11:59/,
    (all) => {
      provider(all).state.tunnel = { established: true, pathVerified: false };
      setCondition(
        all.tunnel,
        condition('PathVerified', 'False', 'no answer of oak at 10.128.0.1 since 11:59', 'NoAnswer'),
      );
    },
  ],
  [
    'broken DNS in a twin namespace',
    'twin-dns',
    /oak reports: no endpoint of the provider’s Service kube-dns/,
    (all) => {
      provider(all).state.problems = [
        { type: 'NamesResolvable', message: 'no endpoint of the provider’s Service kube-dns is ready' },
      ];
    },
  ],
  [
    'an expired identity',
    'identity-expired',
    /the identity at oak expired 60 min ago: expired at 11:00 and not renewed/,
    ({ outgoing }) => {
      if (outgoing.status?.identity) outgoing.status.identity.expiresAt = '2026-01-01T11:00:00Z';
      setCondition(
        outgoing,
        condition('IdentityValid', 'False', 'expired at 11:00 and not renewed: no answer', 'IdentityExpired'),
      );
    },
  ],
  [
    'a version that is too old',
    'compatibility',
    /oak runs Hawser 0\.6\.3, which is too old for 0\.9\.0 here/,
    (all) => {
      provider(all).state.version = '0.6.3';
    },
  ],
  [
    'a kubelet API that the API server cannot reach',
    'kubelet-api',
    /does not reach the kubelet API of node hawser-oak: dial tcp: connection refused/,
    () => ({ kubelets: { 'hawser-oak': { status: 503, message: 'dial tcp: connection refused' } } }),
  ],
  [
    'an unreachable API gateway',
    'gateway-unreachable',
    /no report of oak .*: no answer from the gateway/,
    (all) => {
      provider(all).word.problem = {
        reason: 'ProviderUnreachable',
        message: 'no answer from the gateway at https://oak:7443',
      };
    },
  ],
  [
    'packet loss',
    'loss',
    /8 of the last 64 probes to oak were lost/,
    ({ tunnel }) => {
      if (tunnel.status) tunnel.status.probes = { sent: 64, lost: 8 };
    },
  ],
  [
    'a range without a remapped range',
    'remapping',
    /no free range to remap 10\.244\.0\.0\/16 of oak/,
    ({ tunnel }) => {
      tunnel.spec.remaps.shift();
    },
  ],
  [
    'a range that waits for approval',
    'remapping',
    /172\.30\.0\.0\/16 of oak is not remapped: with it, oak would have more addresses than a \/12/,
    ({ tunnel }) => {
      if (tunnel.status) tunnel.status.waitingRanges = [{ real: '172.30.0.0/16', reason: 'NeedsApproval' }];
    },
  ],
  [
    'a problem that only the provider sees',
    'provider-report',
    /oak reports: the Secret identity was deleted/,
    (all) => {
      provider(all).state.problems = [{ type: 'Revoked', message: 'the Secret identity was deleted' }];
    },
  ],
  [
    'a missing tunnel',
    'tunnel',
    /no tunnel to oak exists yet/,
    ({ facts }) => ({
      objects: {
        ...facts.objects,
        tunnels: facts.objects.tunnels.filter(({ spec }) => spec.remoteCluster !== 'oak'),
      },
    }),
  ],
];

for (const fault of faults) test(`doctor reports ${fault[0]} by its check`, () => assertNamed(fault));

test.run();
