// Which of our handshake messages still await an answer, so that messages that answer none are dropped cheaply.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "prefix_table.h"

namespace hawser {

/** A set of session indices; written by the configuring thread, read by all without a lock. */
class AwaitedIndices {
 public:
  /** At most two per peer: the answers to our last initiation and to our last response. */
  explicit AwaitedIndices(uint32_t peers) : mask_(std::bit_ceil(peers < 16 ? 16u : peers) - 1), buckets_(new Bucket[mask_ + 1]) {}

  bool has(uint32_t index) const {
    const Bucket& bucket = buckets_[hash(index) & mask_];
    if (bucket.full.load(std::memory_order_relaxed) != 0) return true;
    for (const auto& entry : bucket.entries)
      if (entry.load(std::memory_order_acquire) == (PRESENT | index)) return true;
    return false;
  }

  void add(uint32_t index) {
    Bucket& bucket = buckets_[hash(index) & mask_];
    for (auto& entry : bucket.entries)
      if (entry.load(std::memory_order_relaxed) == 0) return entry.store(PRESENT | index, std::memory_order_release);
    // With an average of two per bucket this is very rare. A full bucket then accepts everything rather than refuse a valid answer.
    bucket.full.fetch_add(1, std::memory_order_relaxed);
  }

  /** Removes an index that was added. */
  void remove(uint32_t index) {
    Bucket& bucket = buckets_[hash(index) & mask_];
    for (auto& entry : bucket.entries)
      if (entry.load(std::memory_order_relaxed) == (PRESENT | index)) return entry.store(0, std::memory_order_release);
    bucket.full.fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  static constexpr uint64_t PRESENT = uint64_t{1} << 32;

  struct alignas(64) Bucket {
    std::atomic<uint32_t> full{0};
    std::atomic<uint64_t> entries[7]{};
  };

  static uint64_t hash(uint32_t index) { return hashAddress(Address4{index}, hashSeed()); }

  const uint32_t mask_;
  std::unique_ptr<Bucket[]> buckets_;
};

}  // namespace hawser
