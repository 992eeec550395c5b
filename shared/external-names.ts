/** Targets of ExternalName Services. Pure. */

/**
 * Whether an alias leads out of every cluster. In whatever domain a cluster has, the names of its Services and pods have a
 * label `svc` or `pod` (Kubernetes, DNS for Services and Pods): an alias of the consumer's to such a name would give its pods
 * what the provider's DNS makes of it. An admission policy of the provider holds the same (`hawser-consumer-services`).
 */
export const leadsOutside = (externalName: string): boolean =>
  externalName !== '' &&
  !externalName
    .toLowerCase()
    .split('.')
    .some((label) => label === 'svc' || label === 'pod');
