// The replay window of a session (WireGuard paper, section 5.4.6; the algorithm of RFC 6479, lock-free).
#pragma once

#include <atomic>
#include <cstdint>

#include "plant.h"

namespace hawser {

/**
 * Blocks of 16 counters in a ring. A word contains its block number (upper 48 bits) and a bitmap of seen counters (lower 16),
 * so that starting a new block and marking its first counter is one exchange, and any number of threads may mark
 * concurrently.
 */
class ReplayWindow {
 public:
  /** Maximum distance of a packet behind the greatest counter. */
  static constexpr uint64_t SIZE = 8128;

  /** Must be called only after authentication. True: `counter` is new, and is now marked as seen. */
  bool accept(uint64_t counter) {
    uint64_t greatest = greatest_.load(std::memory_order_relaxed);
    if (counter < greatest && greatest - counter >= SIZE) return false;
    while (counter > greatest && !greatest_.compare_exchange_weak(greatest, counter, std::memory_order_relaxed)) {
    }
    const uint64_t block = counter / 16;
    // Plus one, so that a zero word means no block.
    const uint64_t generation = (block / BLOCKS + 1) & 0xffffffffffff;
    const uint64_t bit = uint64_t{1} << (counter % 16);
    std::atomic<uint64_t>& word = words_[block % BLOCKS];
    uint64_t seen = word.load(std::memory_order_relaxed);
    for (;;) {
      // 48 bits, so the order is right unless a counter jumps by 2^60.
      const auto order = static_cast<int64_t>((generation << 16) - (seen & ~uint64_t{0xffff}));
      if (order < 0) return false;
      if (order == 0 && (seen & bit) != 0) return false;
      uint64_t next = order == 0 ? seen | bit : (generation << 16) | bit;
      if (HAWSER_PLANTED(6) && order > 0) next = generation << 16;
      if (word.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return true;
    }
  }

  uint64_t greatest() const { return greatest_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint64_t BLOCKS = 512;
  static_assert((BLOCKS - 1) * 16 >= SIZE);

  std::atomic<uint64_t> greatest_{0};
  std::atomic<uint64_t> words_[BLOCKS]{};
};

}  // namespace hawser
