// What the threads of one engine share.
#pragma once

#include <atomic>

#include "awaited.h"
#include "events.h"
#include "session_table.h"
#include "snapshot.h"
#include "staging.h"
#include "tun.h"
#include "udp.h"

namespace hawser {

/** CLOCK_BOOTTIME, so that sleep counts, in nanoseconds. */
uint64_t engineNow();

struct Mac1Key {
  uint8_t bytes[32];
};

/** What the cookies of a device under load are made with (paper, section 5.4.7). */
struct CookieSecret {
  uint8_t bytes[32];
  uint64_t madeAt;
  ~CookieSecret() { wipe(bytes, sizeof bytes); }
};

struct Core {
  Core(size_t handshakes, size_t others, uint32_t peers, std::function<void()> notify)
      : events(handshakes, others, std::move(notify)), sessions(reclaimer), awaited(peers) {}

  Tun tun;
  std::atomic<unsigned> tunMtu{1420};
  std::vector<UdpSockets> sockets;
  UdpFeatures udp;
  CounterRow counters;
  Reclaimer reclaimer;
  EventQueue events;
  SessionTable sessions;
  AwaitedIndices awaited;
  std::unique_ptr<Staging> staging;
  std::atomic<const Snapshot*> snapshot{nullptr};
  std::atomic<const Mac1Key*> mac1{nullptr};
  /** nullptr: none was given out. */
  std::atomic<const CookieSecret*> cookieSecret{nullptr};
  /** False: packets that enter go to the TUN, whatever routes say of their destination (plain WireGuard). */
  std::atomic<bool> switching{true};
  std::atomic<bool> stopping{false};
  /** Sessions that packet threads dropped; the configuring thread takes them out of the table and frees them. */
  std::atomic<Session*> dropped{nullptr};

  /** By any thread that has just taken it from its place and holds the peer's lock: it opens what comes until `closesAt`. */
  void drop(Session* session, uint64_t closesAt) {
    if (session == nullptr) return;
    session->closesAt.store(closesAt, std::memory_order_release);
    Session* head = dropped.load(std::memory_order_relaxed);
    do {
      session->nextDropped = head;
    } while (!dropped.compare_exchange_weak(head, session, std::memory_order_release, std::memory_order_relaxed));
  }

  /** False: the queue is full. What says that an event waits must be taken back then, or it is never told again. */
  bool tell(const Event& event) {
    const bool queued = events.push(event);
    if (!queued) counters.add(EVENTS_DROPPED, 1);
    return queued;
  }
};

}  // namespace hawser
