// Frees objects that packets may still use, once every packet thread has passed a quiescent state.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace hawser {

/**
 * Quiescent-state reclamation. A packet thread calls `enter` before each batch and `leave` before it sleeps, and keeps
 * no pointer over either; one other thread retires and frees. Packet threads never wait, lock or free.
 */
class Reclaimer {
 public:
  class Reader {
   public:
    explicit Reader(Reclaimer& owner) : owner_(owner) {}
    void enter() {
      seen_.store(owner_.epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
      // The batch's acquire loads must not be reordered before the store that announces its begin: an acquire load may pass an
      // earlier store to another location (as arm64's RCpc loads do). ThreadSanitizer does not support fences.
#ifndef __SANITIZE_THREAD__
      std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
    }
    void leave() { seen_.store(ASLEEP, std::memory_order_seq_cst); }

   private:
    friend class Reclaimer;
    Reclaimer& owner_;
    std::atomic<uint64_t> seen_{ASLEEP};
  };

  /** Called before the threads start. */
  Reader& addReader() {
    readers_.push_back(std::make_unique<Reader>(*this));
    return *readers_.back();
  }

  /** `free` runs in a later call of `collect`; the object must already be unreachable for new batches. */
  void retire(std::function<void()> free) {
    const uint64_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst) + 1;
    retired_.push_back({epoch, std::move(free)});
  }

  void collect() {
    if (retired_.empty()) return;
    uint64_t oldest = ASLEEP;
    for (const auto& reader : readers_) {
      const uint64_t seen = reader->seen_.load(std::memory_order_seq_cst);
      if (seen < oldest) oldest = seen;
    }
    while (!retired_.empty() && retired_.front().epoch <= oldest) {
      const auto free = std::move(retired_.front().free);
      retired_.pop_front();
      free();
    }
  }

  /** Called when no reader runs any more. */
  void collectAll() {
    while (!retired_.empty()) {
      const auto free = std::move(retired_.front().free);
      retired_.pop_front();
      free();
    }
  }

  size_t pending() const { return retired_.size(); }

 private:
  static constexpr uint64_t ASLEEP = ~uint64_t{0};

  struct Retired {
    uint64_t epoch;
    std::function<void()> free;
  };

  std::atomic<uint64_t> epoch_{1};
  std::vector<std::unique_ptr<Reader>> readers_;
  std::deque<Retired> retired_;
};

}  // namespace hawser
