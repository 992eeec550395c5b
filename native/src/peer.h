// What packets use of a peer: its sessions, where it is, what waits for it. Everything here is safe to use by several
// packet threads at once; what only the configuring thread may do says so.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "aead.h"
#include "counters.h"
#include "endpoint.h"
#include "replay.h"

namespace hawser {

// WireGuard paper, section 6.1.
constexpr uint64_t SECOND = 1'000'000'000;
constexpr uint64_t REKEY_AFTER_MESSAGES = uint64_t{1} << 60;
constexpr uint64_t REJECT_AFTER_MESSAGES = ~uint64_t{0} - (uint64_t{1} << 13);
constexpr uint64_t REKEY_AFTER_TIME = 120 * SECOND;
constexpr uint64_t REJECT_AFTER_TIME = 180 * SECOND;
constexpr uint64_t KEEPALIVE_TIMEOUT = 10 * SECOND;
constexpr uint64_t REKEY_TIMEOUT = 5 * SECOND;
/**
 * How long a session that was replaced goes on opening what comes. Two ends that call each other at once replace more than one
 * in a round trip, and a lost message makes it longer; a peer that hears us has confirmed the newer session after this time at
 * the latest (section 6.5).
 */
constexpr uint64_t REPLACED_SESSION_TIME = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
/** An initiator that only receives rekeys so late that the peer's answer still fits (section 6.2). */
constexpr uint64_t REKEY_AFTER_TIME_RECEIVING = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;

struct Peer;

struct Session {
  uint32_t localIndex = 0;
  uint32_t remoteIndex = 0;
  /** Shared: a thread that found the session uses its peer, which may have been removed meanwhile. */
  std::shared_ptr<Peer> peer;
  uint64_t createdAt = 0;
  bool initiator = false;
  /** From then on it authenticates nothing any more; set when it has lost its place at its peer. */
  std::atomic<uint64_t> closesAt{~uint64_t{0}};
  std::atomic<uint64_t> sendCounter{0};
  uint8_t sendKey[AEAD_KEY];
  uint8_t receiveKey[AEAD_KEY];
  ReplayWindow replay;
  /** Next of the engine's list of dropped sessions. */
  Session* nextDropped = nullptr;

  ~Session() {
    wipe(sendKey, sizeof sendKey);
    wipe(receiveKey, sizeof receiveKey);
  }

  /** A thread took its time before its batch, so a session may be younger than that. */
  uint64_t age(uint64_t now) const { return now > createdAt ? now - createdAt : 0; }
  bool closed(uint64_t now) const { return now >= closesAt.load(std::memory_order_acquire); }
  bool maySend(uint64_t now) const {
    return age(now) < REJECT_AFTER_TIME &&
           sendCounter.load(std::memory_order_relaxed) < REJECT_AFTER_MESSAGES;
  }
};

enum class Wanted : uint8_t { NO_SESSION, REKEY_MESSAGES, REKEY_TIME };

struct Peer {
  uint32_t id = 0;
  CounterRow counters;
  EndpointCell endpoint;

  std::atomic<Session*> current{nullptr};
  std::atomic<Session*> previous{nullptr};
  std::atomic<Session*> next{nullptr};
  /** Indices of our last initiation and response to it, which an answer may name; the configuring thread's. 0: none. */
  uint64_t called = 0, answered = 0;
  /** How many sessions without a place still open what comes; the configuring thread's. */
  uint32_t lingering = 0;
  /** Held while the three change: once a handshake, by whoever brings or confirms a keypair. */
  std::mutex keypairs;

  /** When a handshake was last asked for; at most one question a second. */
  std::atomic<uint64_t> wantedAt{0};
  /**
   * An event of the kind waits: further ones would say the same. So a peer has at most one of each in the queue, which has room
   * for those of all peers, and none is ever lost.
   */
  std::atomic<bool> endpointEvent{false};
  std::atomic<bool> wantedEvent{false};
  std::atomic<bool> confirmedEvent{false};
  /** The session that was confirmed last. */
  std::atomic<uint32_t> confirmedIndex{0};
  /** Largest inner packet towards it; 0: the TUN's. */
  std::atomic<uint32_t> mtu{0};
  /** Token and size of the path probe under way, which one answer ends; 0: none. */
  std::atomic<uint64_t> pathProbe{0};
  /** Its path refuses segmenting sends (outer fragmentation is needed): packets are sent one by one. */
  std::atomic<bool> sendSingly{false};

  /** Packets that wait for a session; the queue is the staging's, under its lock. */
  std::atomic<uint32_t> staged{0};
  uint32_t stagedFirst = 0xffffffff;
  uint32_t stagedLast = 0xffffffff;

  /** True at most once a second. */
  bool mayWant(uint64_t now) {
    uint64_t last = wantedAt.load(std::memory_order_relaxed);
    if (last != 0 && now < last + SECOND) return false;
    return wantedAt.compare_exchange_strong(last, now, std::memory_order_relaxed);
  }
};

}  // namespace hawser
