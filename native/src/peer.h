// The state of a peer that packets use: its sessions, endpoint and staged packets. Everything here is safe for several packet
// threads at once, unless it is marked as the configuring thread's.
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
 * How long a replaced session still decrypts. Simultaneous handshakes replace more than one session per round trip, and lost
 * messages prolong this; a peer that receives our packets has confirmed the newer session after this time at the latest
 * (section 6.5).
 */
constexpr uint64_t REPLACED_SESSION_TIME = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT;
/** An initiator that only receives rekeys at this age, which leaves time for the peer's answer (section 6.2). */
constexpr uint64_t REKEY_AFTER_TIME_RECEIVING = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT;

struct Peer;

struct Session {
  uint32_t localIndex = 0;
  uint32_t remoteIndex = 0;
  /** Shared, since a thread that found the session uses its peer, which may have been removed in the meantime. */
  std::shared_ptr<Peer> peer;
  uint64_t createdAt = 0;
  bool initiator = false;
  /** When it stops decrypting; set when it was replaced at its peer. */
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

  /** A thread reads the time before its batch, so a session may be newer than that. */
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
  /** Indices of our last initiation and response, which an answer may carry; the configuring thread's. 0 means none. */
  uint64_t called = 0, answered = 0;
  /** Number of replaced sessions that still decrypt; the configuring thread's. */
  uint32_t lingering = 0;
  /** Held while the three change: once per handshake, by the thread that sets or confirms a keypair. */
  std::mutex keypairs;

  /** When a handshake was last requested; at most one request per second. */
  std::atomic<uint64_t> wantedAt{0};
  /**
   * An event of this kind is queued, and further ones would be duplicates. A peer has at most one of each kind in the queue,
   * which has room for those of all peers, so none is lost.
   */
  std::atomic<bool> endpointEvent{false};
  std::atomic<bool> wantedEvent{false};
  std::atomic<bool> confirmedEvent{false};
  /** The session that was last confirmed. */
  std::atomic<uint32_t> confirmedIndex{0};
  /** Largest inner packet to it; 0 means the TUN's MTU. */
  std::atomic<uint32_t> mtu{0};
  /** Token and size of the outstanding path probe; 0 means none. */
  std::atomic<uint64_t> pathProbe{0};
  /** The path does not support segmentation offload (outer fragmentation is needed): packets are sent individually. */
  std::atomic<bool> sendSingly{false};

  /** Packets that wait for a session; protected by the staging's lock. */
  std::atomic<uint32_t> staged{0};
  uint32_t stagedFirst = 0xffffffff;
  uint32_t stagedLast = 0xffffffff;

  /** True at most once per second. */
  bool mayWant(uint64_t now) {
    uint64_t last = wantedAt.load(std::memory_order_relaxed);
    if (last != 0 && now < last + SECOND) return false;
    return wantedAt.compare_exchange_strong(last, now, std::memory_order_relaxed);
  }
};

}  // namespace hawser
