/** Records residue of an object where it can be read after the object is gone. */
import { labels } from '../../shared/names.ts';
import { residueConfigMap, withResidue, type Residue } from '../../shared/residue.ts';
import type { KubeClient } from '../../shared/kube/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '../../shared/kube/errors.ts';
import { kind, type AnyObject } from '../../shared/kube/refs.ts';
import type { ConfigMap } from '../../shared/kube/types.ts';

const attempts = 5;

/** Records an object's residue in a ConfigMap of Hawser's namespace. */
export async function recordResidue(
  kube: Pick<KubeClient, 'get' | 'create' | 'replace'>,
  namespace: string,
  object: AnyObject,
  residue: readonly string[],
  now: number,
  signal: AbortSignal,
): Promise<void> {
  const { name, uid = '' } = object.metadata;
  const entry: Residue = { kind: object.kind, name, at: new Date(now).toISOString(), residue: [...residue] };
  for (let attempt = 1; ; attempt++) {
    const ref = { kind: kind.configMap, namespace, name: residueConfigMap };
    const present = await kube.get<ConfigMap>(ref, signal);
    const data = withResidue(present?.data ?? {}, uid, entry);
    try {
      if (present !== undefined) {
        await kube.replace<ConfigMap>({ ...present, data }, {}, signal);
      } else {
        const metadata = { name: residueConfigMap, namespace, labels: { [labels.managedBy]: 'hawser' } };
        await kube.create<ConfigMap>({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data }, signal);
      }
      return;
    } catch (error) {
      // Another deletion wrote at the same time.
      const again = isConflict(error) || isAlreadyExists(error) || isNotFound(error);
      if (!again || attempt === attempts) throw error;
    }
  }
}
