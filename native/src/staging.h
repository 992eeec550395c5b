// Packets that wait for their peer's session: a fixed pool with a bounded queue per peer that drops its oldest when full.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "peer.h"

namespace hawser {

class Staging {
 public:
  static constexpr uint32_t NONE = 0xffffffff;
  /** Other WireGuard implementations stage 128 packets per peer. */
  static constexpr uint32_t PER_PEER = 128;

  /** `count` slots of `size` bytes; memory is allocated when it is first used. */
  Staging(uint32_t count, uint32_t size) : size_(size), slots_(count) {
    memory_ = static_cast<uint8_t*>(mmap(nullptr, size_t{count} * size, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (memory_ == MAP_FAILED) {
      memory_ = nullptr;
      slots_.clear();
    }
    for (uint32_t at = 0; at < slots_.size(); at++) slots_[at].next = at + 1 < slots_.size() ? at + 1 : NONE;
    free_ = slots_.empty() ? NONE : 0;
  }
  ~Staging() {
    if (memory_ == nullptr) return;
    munmap(memory_, slots_.size() * size_);
  }
  Staging(const Staging&) = delete;

  uint32_t slotSize() const { return size_; }

  /** Returns how many packets were dropped for it: this one, or the peer's oldest. */
  uint32_t put(Peer& peer, const uint8_t* packet, uint32_t length) {
    const std::lock_guard lock(mutex_);
    uint32_t lost = 0;
    if (length > size_) return 1;
    if (peer.staged.load(std::memory_order_relaxed) >= PER_PEER || free_ == NONE) {
      if (peer.stagedFirst == NONE) return 1;
      release(peer);
      lost = 1;
    }
    const uint32_t at = free_;
    free_ = slots_[at].next;
    slots_[at] = {NONE, length};
    std::memcpy(memory_ + size_t{at} * size_, packet, length);
    if (peer.stagedLast == NONE)
      peer.stagedFirst = at;
    else
      slots_[peer.stagedLast].next = at;
    peer.stagedLast = at;
    peer.staged.fetch_add(1, std::memory_order_relaxed);
    return lost;
  }

  /** Moves the oldest packet to `to`; returns its length, 0 if there is none. */
  uint32_t take(Peer& peer, uint8_t* to) {
    const std::lock_guard lock(mutex_);
    if (peer.stagedFirst == NONE) return 0;
    const uint32_t length = slots_[peer.stagedFirst].length;
    std::memcpy(to, memory_ + size_t{peer.stagedFirst} * size_, length);
    release(peer);
    return length;
  }

  /** Returns how many packets were dropped. */
  uint32_t drop(Peer& peer) {
    const std::lock_guard lock(mutex_);
    uint32_t lost = 0;
    for (; peer.stagedFirst != NONE; lost++) release(peer);
    return lost;
  }

 private:
  struct Slot {
    uint32_t next = NONE;
    uint32_t length = 0;
  };

  void release(Peer& peer) {
    const uint32_t at = peer.stagedFirst;
    peer.stagedFirst = slots_[at].next;
    if (peer.stagedFirst == NONE) peer.stagedLast = NONE;
    slots_[at].next = free_;
    free_ = at;
    peer.staged.fetch_sub(1, std::memory_order_relaxed);
  }

  const uint32_t size_;
  uint8_t* memory_;
  std::vector<Slot> slots_;
  uint32_t free_ = NONE;
  // Only packets without a session are staged, so the lock is not on the fast path.
  std::mutex mutex_;
};

}  // namespace hawser
