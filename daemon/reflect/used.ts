/** Which ConfigMaps and Secrets pods use: only those are sent to the provider. Pure. */
import type { Container, Pod } from '../../shared/kube/types.ts';

export interface Used {
  configMaps: Set<string>;
  secrets: Set<string>;
}

/** Every cluster has its own in every namespace, and the consumer's is of no use at the provider. */
const ownEverywhere = 'kube-root-ca.crt';

interface Source {
  configMap?: { name?: string };
  secret?: { name?: string; secretName?: string };
  projected?: { sources?: Source[] };
}
interface References {
  env?: { valueFrom?: { configMapKeyRef?: { name?: string }; secretKeyRef?: { name?: string } } }[];
  envFrom?: { configMapRef?: { name?: string }; secretRef?: { name?: string } }[];
}

/** The names in the pods' volumes, environments and image pull secrets. Finished pods need none. */
export function usedBy(pods: readonly Pod[]): Used {
  const used: Used = { configMaps: new Set(), secrets: new Set() };
  const configMap = (name: string | undefined) => {
    if (name !== undefined && name !== '' && name !== ownEverywhere) used.configMaps.add(name);
  };
  const secret = (name: string | undefined) => {
    if (name !== undefined && name !== '') used.secrets.add(name);
  };
  const source = (each: Source) => {
    configMap(each.configMap?.name);
    secret(each.secret?.secretName ?? each.secret?.name);
    for (const inner of each.projected?.sources ?? []) source(inner);
  };
  for (const pod of pods) {
    if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') continue;
    const spec = pod.spec;
    if (spec === undefined) continue;
    for (const volume of spec.volumes ?? []) source(volume as Source);
    for (const pull of (spec['imagePullSecrets'] ?? []) as { name?: string }[]) secret(pull.name);
    for (const container of [...spec.containers, ...(spec.initContainers ?? [])] as (Container &
      References)[]) {
      for (const { valueFrom } of container.env ?? []) {
        configMap(valueFrom?.configMapKeyRef?.name);
        secret(valueFrom?.secretKeyRef?.name);
      }
      for (const from of container.envFrom ?? []) {
        configMap(from.configMapRef?.name);
        secret(from.secretRef?.name);
      }
    }
  }
  return used;
}
