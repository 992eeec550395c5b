/** Numbers by which Hawser's state in a node's kernel is recognised. */

/** Routing table of remote ranges. */
export const routingTable = 7470;

/**
 * Priority of the rule that looks that table up: before `main` (32766), and before the rules by which some CNIs send
 * pods' sources to a table of their own (1536 in the AWS VPC CNI).
 */
export const rulePriority = 747;

/** Origin of the routes and the rule (`rtm_protocol`, 0–255): who made them. No assigned number of rt_protos. */
export const routeProtocol = 74;

/**
 * Metric of the routes that swallow packets to remote ranges while there is no device: whatever else the node would do
 * with them, they would leave it unencrypted. Higher than any route's that somebody makes without naming one.
 */
export const fallbackMetric = 4_294_967_000;

/** Table of nft rules. */
export const nftTable = 'hawser';

/** Tables that keep consumers' pods apart; one for what is routed, one for bridges. */
export const isolationTable = 'hawser-isolation';

/** Comment of rules in chains of others. */
export const nftComment = 'hawser';

/** Bit by which kube-proxy marks what is to be masqueraded (its `masqueradeBit`, default 14). */
export const masqueradeMark = 0x4000;

/** Highest length of a device name (IFNAMSIZ − 1). */
export const deviceNameLength = 15;
