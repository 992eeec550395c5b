/** Targets of ExternalName Services. Pure. */

/**
 * Whether an alias leads out of every cluster. In any cluster domain, the names of Services and pods have a label `svc` or
 * `pod` (Kubernetes, DNS for Services and Pods): the provider's DNS would resolve a consumer's alias with such a name to its
 * own objects. An admission policy of the provider enforces the same (`hawser-consumer-services`).
 */
export const leadsOutside = (externalName: string): boolean =>
  externalName !== '' &&
  !externalName
    .toLowerCase()
    .split('.')
    .some((label) => label === 'svc' || label === 'pod');
