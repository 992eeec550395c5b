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

using Lanes = uint64_t __attribute__((vector_size(32)));

// Both halves of 64-bit words, two vectors at a time. A full packet takes 28 ns, against 53 ns for copying and then summing.
HAWSER_VECTORS uint64_t copyWords(uint8_t* to, const uint8_t* from, size_t words) {
  constexpr size_t STEP = 2 * sizeof(Lanes) / 4;
  const Lanes low = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
  Lanes lows = {}, highs = {};
  size_t index = 0;
  for (; index + STEP <= words; index += STEP) {
    // Not by load() and store(): the ABI of vector arguments depends on the processor's features.
    Lanes first, second;
    std::memcpy(&first, from + index * 4, sizeof first);
    std::memcpy(&second, from + index * 4 + sizeof first, sizeof second);
    std::memcpy(to + index * 4, &first, sizeof first);
    std::memcpy(to + index * 4 + sizeof first, &second, sizeof second);
    lows += (first & low) + (second & low);
    highs += (first >> 32) + (second >> 32);
  }
  lows += highs;
  uint64_t sum = lows[0] + lows[1] + lows[2] + lows[3];
  for (; index < words; index++) {
    const auto word = load<uint32_t>(from + index * 4);
    store(to + index * 4, word);
    sum += word;
  }
  return sum;
}

/** Sum of the up to three bytes after the last whole word. */
uint64_t sumRest(const uint8_t* data, size_t length) {
  uint64_t sum = 0;
  const uint8_t* rest = data + (length & ~size_t{3});
  if (length & 2) {
    sum += load<uint16_t>(rest);
    rest += 2;
  }
  if (length & 1) sum += *rest;
  return sum;
}

}  // namespace

uint64_t sumBytes(const uint8_t* data, size_t length) { return sumWords(data, length / 4) + sumRest(data, length); }

uint64_t copyAndSum(uint8_t* to, const uint8_t* from, size_t length) {
  const size_t whole = length & ~size_t{3};
  const uint64_t sum = copyWords(to, from, length / 4);
  if (length != whole) std::memcpy(to + whole, from + whole, length - whole);
  return sum + sumRest(from, length);
}

uint64_t sumPseudoHeader(const uint8_t* addresses, size_t bothAddressesLength, uint8_t protocol, uint32_t length) {
  uint64_t sum = 0;
  for (size_t at = 0; at < bothAddressesLength; at += 4) sum += load<uint32_t>(addresses + at);
  return sum + __builtin_bswap32(length) + (static_cast<uint32_t>(protocol) << 8);
}

}  // namespace hawser
