// State shared by the threads of one engine.
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

/** CLOCK_BOOTTIME, which includes suspend, in nanoseconds. */
uint64_t engineNow();

struct Mac1Key {
  uint8_t bytes[32];
};

/** The secret of cookies for a device under load (paper, section 5.4.7). */
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
  /** nullptr if no cookie was sent yet. */
  std::atomic<const CookieSecret*> cookieSecret{nullptr};
  /** False: entering packets go to the TUN, independent of routes (plain WireGuard). */
  std::atomic<bool> switching{true};
  std::atomic<bool> stopping{false};
  /** Sessions dropped by packet threads; the configuring thread removes them from the table and frees them. */
  std::atomic<Session*> dropped{nullptr};

  /** For any thread that just replaced the session and holds the peer's lock: the session decrypts until `closesAt`. */
  void drop(Session* session, uint64_t closesAt) {
    if (session == nullptr) return;
    session->closesAt.store(closesAt, std::memory_order_release);
    Session* head = dropped.load(std::memory_order_relaxed);
    do {
      session->nextDropped = head;
    } while (!dropped.compare_exchange_weak(head, session, std::memory_order_release, std::memory_order_relaxed));
  }

  /** False: the queue is full. The caller must then reset its pending flag, or the event would never be queued again. */
  bool tell(const Event& event) {
    const bool queued = events.push(event);
    if (!queued) counters.add(EVENTS_DROPPED, 1);
    return queued;
  }
};

}  // namespace hawser
