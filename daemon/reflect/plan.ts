/** The changes needed in a twin namespace. Pure. */
import type { ShadowPolicy } from '../../shared/api/policies.ts';
import { stableText, type AnyObject } from '../kube/index.ts';
import type { ConfigMap, EndpointSlice, Secret, Service } from '../../shared/kube/types.ts';

export type Reflected = ConfigMap | Secret | Service | EndpointSlice | ShadowPolicy;

export interface ReflectionPlan {
  create: Reflected[];
  /** Deletes with the resource version that was read as precondition. */
  replace: Reflected[];
  /** An immutable field differs: the next reconcile recreates the object. */
  remove: Reflected[];
}

const keyOf = (object: AnyObject) => `${object.kind}/${object.metadata.name}`;

/** `present` holds only objects that are labelled as reflected. */
export function planReflection(wanted: readonly Reflected[], present: readonly Reflected[]): ReflectionPlan {
  const plan: ReflectionPlan = { create: [], replace: [], remove: [] };
  const there = new Map(present.map((object) => [keyOf(object), object]));
  for (const object of wanted) {
    const key = keyOf(object);
    const found = there.get(key);
    there.delete(key);
    if (found === undefined) plan.create.push(object);
    // An object being deleted must be gone first; its deletion is an event.
    else if (found.metadata.deletionTimestamp !== undefined) continue;
    else if (needsAnother(found, object)) plan.remove.push(found);
    else if (differs(found, object)) plan.replace.push(over(found, object));
  }
  for (const object of there.values()) {
    if (object.metadata.deletionTimestamp === undefined) plan.remove.push(object);
  }
  return plan;
}

/** Immutable by the API: a Secret's type, whether a Service is headless, a slice's address type. */
function needsAnother(found: Reflected, wanted: Reflected): boolean {
  switch (wanted.kind) {
    case 'Secret':
      return ((found as Secret).type ?? 'Opaque') !== ((wanted as Secret).type ?? 'Opaque');
    case 'Service':
      return isHeadless(found as Service) !== isHeadless(wanted as Service);
    case 'EndpointSlice':
      return (found as EndpointSlice).addressType !== (wanted as EndpointSlice).addressType;
    default:
      return false;
  }
}

const isHeadless = (service: Service) => service.spec?.clusterIP === 'None';

function differs(found: Reflected, wanted: Reflected): boolean {
  const labelled = Object.entries(wanted.metadata.labels ?? {}).every(
    ([label, value]) => found.metadata.labels?.[label] === value,
  );
  return !labelled || stableText(content(found)) !== stableText(content(wanted));
}

/** The compared content of an object, without the API server's defaults. */
function content(object: Reflected): unknown {
  switch (object.kind) {
    case 'ConfigMap': {
      const { data = {}, binaryData = {} } = object as ConfigMap;
      return { data, binaryData };
    }
    case 'Secret':
      return { data: (object as Secret).data ?? {} };
    case 'Service': {
      const spec = (object as Service).spec ?? {};
      return {
        type: spec.type ?? 'ClusterIP',
        selector: spec.selector ?? {},
        externalIPs: spec.externalIPs ?? [],
        sessionAffinity: spec['sessionAffinity'] ?? 'None',
        publishNotReadyAddresses: spec['publishNotReadyAddresses'] ?? false,
        ports: (spec.ports ?? []).map(({ name = '', protocol = 'TCP', port, appProtocol = '' }) => ({
          name,
          protocol,
          port,
          appProtocol,
        })),
      };
    }
    case 'ShadowPolicy':
      return (object as ShadowPolicy).spec;
    default: {
      const { endpoints, ports } = object as EndpointSlice;
      return { endpoints: endpoints ?? [], ports: ports ?? [] };
    }
  }
}

/** The desired object with the current resource version and the fields that the provider assigned. */
function over(found: Reflected, wanted: Reflected): Reflected {
  const { resourceVersion, uid } = found.metadata;
  const metadata = {
    ...wanted.metadata,
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(uid !== undefined && { uid }),
  };
  if (wanted.kind !== 'Service') return { ...wanted, metadata };
  const { clusterIP, clusterIPs, ...assigned } = (found as Service).spec ?? {};
  return {
    ...wanted,
    metadata,
    spec: {
      ...(wanted as Service).spec,
      ...(clusterIP !== undefined && { clusterIP }),
      ...(clusterIPs !== undefined && { clusterIPs }),
      ...(assigned['ipFamilies'] !== undefined && { ipFamilies: assigned['ipFamilies'] }),
      ...(assigned['ipFamilyPolicy'] !== undefined && { ipFamilyPolicy: assigned['ipFamilyPolicy'] }),
    },
  };
}
