// Explicit congestion notification through a tunnel (RFC 6040): a queue on the path marks the outer header, and the mark must
// reach the sender of the inner packet. DSCP is not copied: a pod's DSCP has no meaning in the network between the clusters,
// and would reveal the kind of traffic to it (RFC 2983, section 3, the pipe model).
#pragma once

#include "checksum.h"
#include "packet.h"

namespace hawser {

constexpr uint8_t ECN_NOT_CAPABLE = 0;
constexpr uint8_t ECN_CAPABLE_1 = 1;
constexpr uint8_t ECN_CAPABLE_0 = 2;
constexpr uint8_t ECN_CONGESTED = 3;
/** Returned instead of a value: the packet must be dropped. */
constexpr uint8_t ECN_DROP = 0xff;

/** ECN of a parsed packet, which section 4.1 (normal mode) copies to the outer header. */
inline uint8_t ecnOf(const uint8_t* packet, bool six) { return six ? (packet[1] >> 4) & 3 : packet[1] & 3; }

/** ECN of the inner header at the tunnel's egress (section 4.2, figure 4). */
inline uint8_t ecnLeaving(uint8_t inner, uint8_t outer) {
  if (outer == ECN_CONGESTED) return inner == ECN_NOT_CAPABLE ? ECN_DROP : ECN_CONGESTED;
  if (outer == ECN_CAPABLE_1 && inner == ECN_CAPABLE_0) return ECN_CAPABLE_1;
  return inner;
}

inline void setEcn(uint8_t* packet, bool six, uint8_t ecn) {
  if (six) {
    packet[1] = static_cast<uint8_t>((packet[1] & 0xcf) | ecn << 4);
    return;
  }
  const auto before = load<uint16_t>(packet);
  packet[1] = static_cast<uint8_t>((packet[1] & 0xfc) | ecn);
  store<uint16_t>(packet + 10, updateChecksum(load<uint16_t>(packet + 10), sumDifference16(before, load<uint16_t>(packet))));
}

}  // namespace hawser
