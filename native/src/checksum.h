// The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3).
//
// Sums are kept in the machine's byte order: the ones' complement sum is independent of it if stores use the same order as
// loads (RFC 1071, section 2 (B)).
#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace hawser {

/** Sum of 16-bit words; an odd last byte is padded with zero. Not folded: add more, then `foldSum`. */
uint64_t sumBytes(const uint8_t* data, size_t length);
/** Copies and sums in one pass. The ranges must not overlap. */
uint64_t copyAndSum(uint8_t* to, const uint8_t* from, size_t length);

inline uint16_t foldSum(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

/** Sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1). */
uint64_t sumPseudoHeader(const uint8_t* addresses, size_t bothAddressesLength, uint8_t protocol, uint32_t length);

/** Difference caused by replacing `length` bytes (even), for the functions below. */
inline uint64_t sumDifference(const uint8_t* before, const uint8_t* after, size_t length) {
  uint64_t sum = 0;
  for (size_t at = 0; at < length; at += 2) {
    sum += load<uint16_t>(after + at);
    sum += static_cast<uint16_t>(~load<uint16_t>(before + at));
  }
  return sum;
}

inline uint64_t sumDifference16(uint16_t before, uint16_t after) {
  return static_cast<uint64_t>(after) + static_cast<uint16_t>(~before);
}

/** Updates a complete checksum by a difference: HC' = ~(~HC + ~m + m'). */
inline uint16_t updateChecksum(uint16_t checksum, uint64_t difference) {
  return static_cast<uint16_t>(~foldSum(static_cast<uint16_t>(~checksum) + difference));
}

/** The uncomplemented pseudo-header sum that checksum offload leaves in the field (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
inline uint16_t updatePartialSum(uint16_t sum, uint64_t difference) { return foldSum(sum + difference); }

}  // namespace hawser
