/** LocalCluster `self`: this cluster's own description. */
import type { LocalCluster, SignedDocument, TunnelEndpoint } from '../../shared/api/clusters.ts';
import { apiVersion } from '../../shared/api/meta.ts';
import type { Finding } from '../../shared/conditions.ts';
import { endpointService, labels, publicKeyAnnotation } from '../../shared/names.ts';
import { ports } from '../../shared/ports.ts';
import { networksOf, remapPoolsOf } from '../../shared/remap-surroundings.ts';
import { signGatewayStatement } from '../../shared/trust/gateway-statement.ts';
import type { ControllerContext } from '../kube/context.ts';
import type { Result } from '../kube/controller.ts';
import { isAlreadyExists, isForbidden, isNotFound } from '../../shared/kube/errors.ts';
import { kind } from '../../shared/kube/refs.ts';
import { applyStatus } from '../kube/status.ts';
import type { ConfigMap, EndpointSlice, Pod, Service } from '../../shared/kube/types.ts';
import type { LocalIdentity } from '../peers/local-identity.ts';
import { succeedKey, withSuccessions } from './cluster-key.ts';
import { ensureCertificate, gatewayHosts, pinOf, pinSince } from './gateway-certificate.ts';
import { apiServerAddressesOf, apiServerHosts, apiServerURLOf, KnownNames } from './api-server.ts';
import { fieldManager, reasons } from './names.ts';
import { remapPoolFinding } from './remap-pools.ts';
import { detectRanges, externalRange, hostPort, inconsistencies, type Ranges } from './ranges.ts';
import type { Caches } from './caches.ts';

/** Outer headers of a tunnel packet: IPv6 40, UDP 8, WireGuard data 16 and tag 16 (WireGuard paper, section 5.4.6). */
export const tunnelOverhead = 80;
const defaultPathMTU = 1500;
/** A chart creates the object within moments; after this time it is created here. */
const chartMilliseconds = 20_000;
/** Interval at which unwatched objects are read again. */
const againMilliseconds = 300_000;
const mostPodsSeen = 100;
const mostPodBytes = 16 << 20;

/** Load-balancer addresses of a Service. */
export function loadBalancerHosts(service: Service | undefined): string[] {
  return (service?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []);
}

/** URL of the API gateway: configured, or from its Service's load balancer; undefined while there is none. */
export function gatewayURLOf(spec: LocalCluster['spec'], service: Service | undefined): string | undefined {
  if (spec.gatewayURL !== undefined) return spec.gatewayURL;
  const host = loadBalancerHosts(service)[0];
  const port = service?.spec?.ports?.[0]?.port ?? ports.gateway;
  return host === undefined ? undefined : `https://${hostPort(host, port)}`;
}

/** Tunnel endpoints as others reach them: the fabric's Services that have a key and an address. */
export function endpointsOf(spec: LocalCluster['spec'], services: readonly Service[]): TunnelEndpoint[] {
  return services
    .flatMap((service) => {
      const publicKey = service.metadata.annotations?.[publicKeyAnnotation];
      const port = service.spec?.ports?.find((each) => each.protocol === 'UDP')?.port ?? ports.tunnel;
      const addresses =
        spec.tunnelAddresses ?? loadBalancerHosts(service).map((host) => hostPort(host, port));
      if (publicKey === undefined || service.metadata.deletionTimestamp !== undefined) return [];
      return [
        {
          name: service.metadata.name.slice(endpointService('').length),
          publicKey,
          addresses: addresses.slice(0, 8),
        },
      ];
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .slice(0, 16);
}

/** Addresses of pods in the pod network of this cluster, without those that run elsewhere. Pure. */
export function podAddresses(pods: readonly Pod[], virtual: ReadonlySet<string>): string[] {
  return pods
    .filter(({ spec }) => spec?.['hostNetwork'] !== true && !virtual.has(spec?.nodeName ?? ''))
    .flatMap(({ status }) => (status?.podIPs ?? []).map(({ ip }) => ip));
}

/** The first running pods; which of them it is does not matter, and a large cluster has too many to read them all. */
async function somePods(kube: ControllerContext['kube'], signal: AbortSignal): Promise<Pod[]> {
  const path = `/api/v1/pods?fieldSelector=${encodeURIComponent('status.phase=Running')}&limit=${mostPodsSeen}`;
  const { status, text } = await kube.text('GET', path, { maximumBytes: mostPodBytes }, signal);
  if (status === 403) return [];
  if (status !== 200) throw new Error(`the API server answered ${status} to the list of running pods`);
  return (JSON.parse(text) as { items?: Pod[] }).items ?? [];
}

/** Conditions of the LocalCluster. Pure. */
export function localFindings(
  ranges: Ranges,
  externalCIDR: string | undefined,
  missing: readonly string[],
): Finding[] {
  const wrong = inconsistencies(ranges, externalCIDR);
  const pods = ranges.podCIDRs.join(', ');
  const consistent: Omit<Finding, 'type'> =
    ranges.podCIDRs.length === 0
      ? {
          status: 'False',
          reason: reasons.CIDRsUnknown,
          message: 'the pod ranges cannot be detected; set spec.podCIDRs',
        }
      : wrong.length > 0
        ? {
            status: 'False',
            reason: reasons.CIDRsOverlap,
            message: `${wrong.slice(0, 5).join('; ')}; correct it in spec`,
          }
        : ranges.podsOutside.length > 0
          ? {
              status: 'False',
              reason: reasons.PodsOutsideCIDRs,
              message: `pods have addresses (${ranges.podsOutside.slice(0, 3).join(', ')}) outside of the pod ranges ${pods}, which are from ${ranges.podSource}: remotes do not reach them; set spec.podCIDRs to all ranges of pods`,
            }
          : {
              status: 'True',
              reason: ranges.guessed ? reasons.CIDRsGuessed : reasons.CIDRsDetected,
              message: `pod ranges ${pods}, from ${ranges.podSource}${ranges.guessed ? '; set spec.podCIDRs if that is wrong' : ''}`,
            };
  // Pods that remotes do not reach are no reason not to peer for all others.
  const usable = consistent.status === 'True' || consistent.reason === reasons.PodsOutsideCIDRs;
  const ready = usable && missing.length === 0;
  return [
    { type: 'CIDRsConsistent', ...consistent },
    {
      type: 'Ready',
      status: ready ? 'True' : 'False',
      reason: ready ? reasons.Ready : reasons.Incomplete,
      message: ready
        ? 'this cluster is ready to peer'
        : [...(usable ? [] : [consistent.message]), ...missing].join('; '),
    },
  ];
}

function stateGateway(identity: LocalIdentity, pin: string, since: string): SignedDocument {
  const { clusterID, key } = identity;
  return withSuccessions(signGatewayStatement({ clusterID, pin, since }, key), identity);
}

/** The reconciler; the key is always `self`. */
export function reconcileLocalCluster(context: ControllerContext, caches: Caches, identity: LocalIdentity) {
  const { kube, clock, log, namespace, events } = context;
  const startedAt = clock.now();
  const names = new KnownNames(context);
  const virtualNodes = () =>
    new Set(
      caches.nodes
        .list()
        .filter(({ metadata }) => metadata.labels?.[labels.virtualNode] === 'true')
        .map(({ metadata }) => metadata.name),
    );
  let slow: Promise<Slow> | undefined;
  let slowAt = 0;
  for (const source of caches.apiServerSources) {
    source.onChange(() => {
      slow = undefined;
    });
  }

  interface Slow {
    kubeadm: ConfigMap | undefined;
    kubeProxy: ConfigMap | undefined;
    clusterInfo: ConfigMap | undefined;
    endpoints: EndpointSlice | undefined;
    controlPlane: Pod[];
    podAddresses: string[];
  }

  /** What changes rarely is polled; missing permission to read it is not an error. */
  async function look(signal: AbortSignal): Promise<Slow> {
    const optional = async <T>(asked: Promise<T>): Promise<T | undefined> => {
      try {
        return await asked;
      } catch (error) {
        if (isForbidden(error) || isNotFound(error)) return undefined;
        throw error;
      }
    };
    const configMap = (place: string, name: string) =>
      optional(kube.get({ kind: kind.configMap, namespace: place, name }, signal));
    const selection = (component: string) =>
      optional(
        kube.list(kind.pod, { namespace: 'kube-system', labelSelector: `component=${component}` }, signal),
      );
    const [kubeadm, kubeProxy, clusterInfo, endpoints, manager, server, pods] = await Promise.all([
      configMap('kube-system', 'kubeadm-config'),
      configMap('kube-system', 'kube-proxy'),
      configMap('kube-public', 'cluster-info'),
      optional(kube.get({ kind: kind.endpointSlice, namespace: 'default', name: 'kubernetes' }, signal)),
      selection('kube-controller-manager'),
      selection('kube-apiserver'),
      somePods(kube, signal),
    ]);
    return {
      kubeadm,
      kubeProxy,
      clusterInfo,
      endpoints,
      controlPlane: [...(manager?.items ?? []), ...(server?.items ?? [])],
      podAddresses: podAddresses(pods, virtualNodes()),
    };
  }

  async function create(signal: AbortSignal): Promise<Result | void> {
    const wait = startedAt + chartMilliseconds - clock.now();
    if (context.clusterName === undefined && wait > 0) return { requeueAfterMilliseconds: wait };
    const made: LocalCluster = {
      apiVersion,
      kind: kind.localCluster.kind,
      metadata: { name: 'self', labels: { [labels.managedBy]: 'hawser' } },
      spec: {},
    };
    await kube.create(made, signal, { fieldManager }).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
    log.info('created LocalCluster self');
  }

  return async (_key: string, signal: AbortSignal): Promise<Result | void> => {
    const local = caches.local.byKey('self');
    if (local === undefined) return create(signal);
    const now = clock.now();
    if (slow === undefined || now - slowAt > againMilliseconds) {
      slow = look(signal);
      slowAt = now;
      slow.catch(() => {
        slow = undefined;
      });
    }
    const wantedKey = local.spec.clusterKeyGeneration ?? 1;
    if (wantedKey > identity.generation) {
      await succeedKey(kube, namespace, identity, wantedKey, now, signal);
      log.info('rotated the cluster key', { generation: identity.generation });
      events.emit(
        local,
        'Normal',
        reasons.ClusterKeySucceeded,
        'the cluster key was rotated; remotes accept the new key by the old key’s signature',
      );
    }
    const seen = await slow;
    const { spec, status } = local;
    const ranges = detectRanges(
      spec,
      {
        nodes: caches.nodes.list(),
        serviceCIDRs: caches.serviceCIDRs.list(),
        kubeadm: seen.kubeadm?.data?.['ClusterConfiguration'],
        kubeProxy: seen.kubeProxy?.data?.['config.conf'],
        controlPlane: seen.controlPlane,
        podAddresses: seen.podAddresses,
      },
      status,
    );
    const externalCIDR = externalRange(spec, status?.externalCIDR, identity.clusterID, ranges, [
      ...caches.tunnels.list().flatMap((tunnel) => tunnel.spec.remaps.map(({ mapped }) => mapped)),
      ...networksOf(caches.fabricNodes.list()).map(({ range }) => range),
    ]);
    const service = caches.gatewayServiceObject();
    const gatewayURL = gatewayURLOf(spec, service);
    const hosts = gatewayHosts(namespace, loadBalancerHosts(service), gatewayURL);
    const certificate = await ensureCertificate(
      kube,
      namespace,
      caches.gatewayCertificate(),
      hosts,
      now,
      signal,
    );
    const pin = pinOf(certificate);
    const gatewayPinSince = pin && pinSince(pin, status, now);
    const apiServer = apiServerURLOf(spec, seen.clusterInfo, seen.endpoints);
    const apiHosts = apiServerHosts(apiServer.url, seen.clusterInfo, context.apiServer);
    const tunnelEndpoints = endpointsOf(spec, caches.endpointServices());
    const missing = [
      ...(gatewayURL === undefined
        ? [
            `the Service ${namespace}/hawser-gateway has no load-balancer address yet; set spec.gatewayURL if it never gets one`,
          ]
        : []),
      ...(apiServer.url === undefined
        ? ['the address of the API server is not known; set spec.apiServerURL']
        : []),
      ...(tunnelEndpoints.some(({ addresses }) => addresses.length > 0)
        ? []
        : [
            `no tunnel endpoint yet: label a node with ${labels.gatewayNode}=true, and check that the Services hawser-tunnel-* get an address`,
          ]),
    ];
    await applyStatus(
      {
        kube,
        fieldManager,
        object: local,
        now,
        events,
        fields: {
          clusterID: identity.clusterID,
          publicKey: identity.key.publicKey,
          keySuccessions: identity.successions.length > 0 ? [...identity.successions] : undefined,
          clusterKeyGeneration: identity.generation,
          podCIDRs: ranges.podCIDRs,
          serviceCIDRs: ranges.serviceCIDRs,
          nodeCIDRs: ranges.nodeCIDRs,
          externalCIDR,
          remapPools: [...remapPoolsOf(local)],
          gatewayURL,
          gatewayPin: pin,
          gatewayPinSince,
          // Signatures are deterministic (RFC 8032), so nothing is written while nothing is new.
          gatewayStatement: pin && gatewayPinSince ? stateGateway(identity, pin, gatewayPinSince) : undefined,
          apiServerURL: apiServer.url,
          apiServerAddresses: apiServerAddressesOf(
            apiHosts,
            seen.endpoints,
            await names.lookUp(apiHosts, signal),
          ),
          mtu: (spec.mtu ?? defaultPathMTU) - tunnelOverhead,
          tunnelEndpoints,
          version: context.version,
        },
        findings: [
          ...localFindings(ranges, externalCIDR, missing),
          remapPoolFinding(local, caches.tunnels.list(), caches.fabricNodes.list()),
        ],
      },
      signal,
    );
    return { requeueAfterMilliseconds: againMilliseconds };
  };
}
