/** Sources of both reflections, besides the objects that they reflect. */
import type { AddressMapping, Tunnel } from '../../shared/api/network.ts';
import { findCondition } from '../../shared/conditions.ts';
import type { Informer, KindRef, Source } from '../kube/index.ts';
import { fromAspect } from '../kube/relevant-changes.ts';
import { fromRemoteObjects, type Remote, type RemoteClients } from '../peers/remote.ts';
import { boundTwins, sourceOf } from '../peers/twin-namespaces.ts';

/** Keys of all namespaces offloaded to a remote. */
export const keysOfRemote = (remote: Remote | undefined): string[] =>
  remote === undefined ? [] : boundTwins(remote).map((twin) => `${remote.peering}/${twin.source}`);

/** Changes of address translation: remaps, and the address mappings in use. */
export function fromTranslations(
  tunnels: Informer<Tunnel>,
  addressMappings: Informer<AddressMapping>,
  all: () => readonly string[],
  ofMapping: (mapping: AddressMapping) => readonly string[] = all,
): Source[] {
  return [
    fromAspect(tunnels, ({ spec }) => [spec.remaps, spec.remoteRemaps], all),
    fromAspect(
      addressMappings,
      ({ spec, status, metadata }) => [
        spec,
        findCondition(status?.conditions, 'Programmed')?.status,
        metadata.deletionTimestamp,
      ],
      ofMapping,
    ),
  ];
}

/** Changes of reflected objects at the remote. */
export const fromReflected = (remotes: RemoteClients, kind: KindRef): Source =>
  fromRemoteObjects(remotes, kind, (remote, object) => {
    const source = sourceOf(remote, object.metadata.namespace);
    return source === undefined ? [] : [`${remote.peering}/${source}`];
  });
