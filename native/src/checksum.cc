#include "checksum.h"

namespace hawser {

#if defined(__x86_64__) && !defined(HAWSER_SANITIZED)
#define HAWSER_VECTORS __attribute__((target_clones("avx2", "default"), optimize("O3")))
#else
#define HAWSER_VECTORS
#endif

namespace {

// Adding 32-bit words into 64-bit sums needs no carries: 2^32 words would be needed to overflow.
HAWSER_VECTORS uint64_t sumWords(const uint8_t* data, size_t words) {
  uint64_t sum = 0;
  for (size_t index = 0; index < words; index++) sum += load<uint32_t>(data + index * 4);
  return sum;
}

}  // namespace

uint64_t sumBytes(const uint8_t* data, size_t length) {
  uint64_t sum = sumWords(data, length / 4);
  const uint8_t* rest = data + (length & ~size_t{3});
  if (length & 2) {
    sum += load<uint16_t>(rest);
    rest += 2;
  }
  if (length & 1) sum += *rest;
  return sum;
}

uint64_t sumPseudoHeader(const uint8_t* addresses, size_t bothAddressesLength, uint8_t protocol, uint32_t length) {
  uint64_t sum = 0;
  for (size_t at = 0; at < bothAddressesLength; at += 4) sum += load<uint32_t>(addresses + at);
  return sum + __builtin_bswap32(length) + (static_cast<uint32_t>(protocol) << 8);
}

}  // namespace hawser
