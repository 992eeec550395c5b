// Maps the index in a transport message to its session: written by one thread, read by all without a lock.
#pragma once

#include <atomic>
#include <memory>

#include "peer.h"
#include "prefix_table.h"
#include "reclaim.h"

namespace hawser {

class SessionTable {
 public:
  explicit SessionTable(Reclaimer& reclaimer) : reclaimer_(reclaimer), slots_(new Slots(1024)) {}
  ~SessionTable() { delete slots_.load(); }

  /** Called by any thread; nullptr if there is no such session. */
  Session* find(uint32_t index) const {
    const Slots& slots = *slots_.load(std::memory_order_acquire);
    for (uint64_t at = hash(index) & slots.mask;; at = (at + 1) & slots.mask) {
      Session* const session = slots.entries[at].load(std::memory_order_acquire);
      if (session == nullptr) return nullptr;
      if (session != removed() && session->localIndex == index) return session;
    }
  }

  /** Called only by the configuring thread, like the following functions. */
  void insert(Session* session) {
    Slots* slots = slots_.load(std::memory_order_relaxed);
    // At most half of the slots are in use, so that a lookup of an unknown index is short.
    if ((slots->used + 1) * 2 > slots->mask + 1) slots = rebuild(*slots);
    place(*slots, session);
    live_++;
  }

  void remove(const Session* session) {
    Slots& slots = *slots_.load(std::memory_order_relaxed);
    for (uint64_t at = hash(session->localIndex) & slots.mask;; at = (at + 1) & slots.mask) {
      Session* const entry = slots.entries[at].load(std::memory_order_relaxed);
      if (entry == nullptr) return;
      if (entry != session) continue;
      slots.entries[at].store(removed(), std::memory_order_release);
      live_--;
      return;
    }
  }

 private:
  struct Slots {
    explicit Slots(uint64_t size) : mask(size - 1), entries(new std::atomic<Session*>[size]()) {}
    uint64_t mask;
    uint64_t used = 0;
    std::unique_ptr<std::atomic<Session*>[]> entries;
  };

  static uint64_t hash(uint32_t index) { return hashAddress(Address4{index}, hashSeed()); }

  /** Tombstone of a removed session, so that later entries are still found. Never dereferenced. */
  static Session* removed() {
    static Session mark;
    return &mark;
  }

  static void place(Slots& slots, Session* session) {
    uint64_t at = hash(session->localIndex) & slots.mask;
    while (slots.entries[at].load(std::memory_order_relaxed) != nullptr) at = (at + 1) & slots.mask;
    slots.entries[at].store(session, std::memory_order_release);
    slots.used++;
  }

  Slots* rebuild(Slots& old) {
    auto* const slots = new Slots(std::bit_ceil((live_ + 1) * 4 < 1024 ? uint64_t{1024} : (live_ + 1) * 4));
    for (uint64_t at = 0; at <= old.mask; at++) {
      Session* const session = old.entries[at].load(std::memory_order_relaxed);
      if (session != nullptr && session != removed()) place(*slots, session);
    }
    slots_.store(slots, std::memory_order_release);
    reclaimer_.retire([&old] { delete &old; });
    return slots;
  }

  Reclaimer& reclaimer_;
  std::atomic<Slots*> slots_;
  uint64_t live_ = 0;
};

}  // namespace hawser
