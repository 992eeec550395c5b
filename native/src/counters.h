// Names of the counters and their positions in a row; the rows are shared memory that JavaScript reads directly.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hawser {

enum Counter : uint8_t {
  RECEIVED_BYTES,
  SENT_BYTES,
  RECEIVED_PACKETS,
  SENT_PACKETS,
  LAST_DATA_RECEIVED,
  LAST_DATA_SENT,
  LAST_RECEIVED,
  LAST_SENT,
  KEEPALIVES_RECEIVED,
  /** For the whole engine: events dropped because their queue was full. */
  EVENTS_DROPPED,
  FIRST_DROP
};

enum class Drop : uint8_t {
  MALFORMED,
  UNKNOWN_SESSION,
  AUTHENTICATION,
  REPLAY,
  KEY_EXPIRED,
  SOURCE_NOT_ALLOWED,
  NOT_ADMITTED,
  NO_ROUTE,
  NO_SESSION,
  NO_ENDPOINT,
  TOO_BIG,
  TIME_EXCEEDED,
  SEND_FAILED,
  TUN_WRITE_FAILED,
  BAD_MAC1,
  HANDSHAKE_QUEUE_FULL,
  HANDSHAKE_RATE,
  SEAL_FAILED,
  CONGESTION_UNANNOUNCED,
  COUNT
};

constexpr const char* COUNTER_NAMES[] = {"receivedBytes",    "sentBytes",          "receivedPackets", "sentPackets",
                                         "lastDataReceived", "lastDataSent",       "lastReceived",    "lastSent",
                                         "keepalivesReceived", "eventsDropped"};
static_assert(sizeof COUNTER_NAMES / sizeof *COUNTER_NAMES == FIRST_DROP);

constexpr const char* DROP_NAMES[] = {
    "malformed",  "unknownSession", "authentication", "replay",         "keyExpired", "sourceNotAllowed",
    "notAdmitted", "noRoute",       "noSession",      "noEndpoint",     "tooBig",     "timeExceeded",
    "sendFailed", "tunWriteFailed", "badMac1",        "handshakeQueueFull", "handshakeRate", "sealFailed",
    "congestionUnannounced"};
static_assert(sizeof DROP_NAMES / sizeof *DROP_NAMES == static_cast<size_t>(Drop::COUNT));

/** Number of u64 in a row; a multiple of a cache line, so that rows of two peers never share one. */
constexpr size_t COUNTER_STRIDE = 32;
static_assert(FIRST_DROP + static_cast<size_t>(Drop::COUNT) <= COUNTER_STRIDE);

/** A row of counters. Additions are atomic: both threads of a pair count for one peer. */
class CounterRow {
 public:
  CounterRow() = default;
  explicit CounterRow(uint64_t* row) : row_(row) {}

  void add(Counter counter, uint64_t amount) const {
    std::atomic_ref<uint64_t>(row_[counter]).fetch_add(amount, std::memory_order_relaxed);
  }
  void set(Counter counter, uint64_t value) const {
    std::atomic_ref<uint64_t>(row_[counter]).store(value, std::memory_order_relaxed);
  }
  uint64_t get(Counter counter) const {
    return std::atomic_ref<uint64_t>(row_[counter]).load(std::memory_order_relaxed);
  }
  void drop(Drop reason, uint64_t packets = 1) const {
    std::atomic_ref<uint64_t>(row_[FIRST_DROP + static_cast<size_t>(reason)])
        .fetch_add(packets, std::memory_order_relaxed);
  }
  void clear() const {
    for (size_t at = 0; at < COUNTER_STRIDE; at++) std::atomic_ref<uint64_t>(row_[at]).store(0, std::memory_order_relaxed);
  }

 private:
  uint64_t* row_ = nullptr;
};

}  // namespace hawser
