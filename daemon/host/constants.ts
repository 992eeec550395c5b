/** Numbers by which Hawser's state in a node's kernel is recognised. */

/** Routing table of remote ranges. */
export const routingTable = 7470;

/**
 * Priority of the rule that selects this table: before `main` (32766), and before the rules by which some CNIs route
 * packets from pods with a table of their own (1536 in the AWS VPC CNI).
 */
export const rulePriority = 747;

/** Origin of the routes and the rule (`rtm_protocol`, 0–255). Not an assigned number of rt_protos. */
export const routeProtocol = 74;

/**
 * Metric of the blackhole routes that drop packets to remote ranges while the device does not exist: with any other route
 * they would leave the node unencrypted. Higher than the default metric of routes.
 */
export const fallbackMetric = 4_294_967_000;

/** Name of the nft table. */
export const nftTable = 'hawser';

/** Name of the tables that isolate consumers' pods; one is for routed packets, one for bridges. */
export const isolationTable = 'hawser-isolation';

/** Comment on Hawser's rules in foreign chains. */
export const nftComment = 'hawser';

/** Bit by which kube-proxy marks packets to be masqueraded (its `masqueradeBit`, default 14). */
export const masqueradeMark = 0x4000;

/** Maximum length of a device name (IFNAMSIZ − 1). */
export const deviceNameLength = 15;
