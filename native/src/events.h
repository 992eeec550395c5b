// Events for JavaScript: bounded queues, filled by packet threads and drained by one other thread.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <vector>

#include "endpoint.h"
#include "peer.h"

namespace hawser {

enum class EventType : uint8_t { HANDSHAKE, HANDSHAKE_WANTED, SESSION_CONFIRMED, ENDPOINT_CHANGED, PROBE_ANSWERED, TUN_CLOSED, UDP_FAILED };

/** The longest handshake message, an initiation (WireGuard paper, section 5.4.2). */
constexpr size_t MAXIMUM_HANDSHAKE = 148;

struct Event {
  EventType type = EventType::HANDSHAKE;
  Wanted reason = Wanted::NO_SESSION;
  uint32_t peer = 0;
  uint32_t localIndex = 0;
  /** Token of a path probe. */
  uint32_t token = 0;
  /** Source of a handshake message, with the local address that received it. */
  Endpoint source;
  int error = 0;
  /** For a handshake message: its sender has a valid cookie, or it answers one of our messages. */
  bool proven = false;
  uint8_t length = 0;
  uint8_t bytes[MAXIMUM_HANDSHAKE];
};

static_assert(std::is_trivially_copyable_v<Event>);

/**
 * A ring of events with fixed capacity. Its memory comes from calloc(3): unused pages take no memory, so a device with
 * capacity for 65,536 peers and two actual ones costs as much as one with capacity for two.
 */
class EventRing {
 public:
  explicit EventRing(size_t capacity)
      : events_(static_cast<Event*>(std::calloc(capacity, sizeof(Event)))), capacity_(events_ ? capacity : 0) {}
  bool push(const Event& event) {
    if (count_ == capacity_) return false;
    events_[(first_ + count_++) % capacity_] = event;
    return true;
  }
  bool pop(Event& event) {
    if (count_ == 0) return false;
    event = events_[first_];
    first_ = --count_ == 0 ? 0 : (first_ + 1) % capacity_;
    return true;
  }
  bool empty() const { return count_ == 0; }

 private:
  struct Free {
    void operator()(Event* events) const { std::free(events); }
  };
  std::unique_ptr<Event[], Free> events_;
  size_t capacity_;
  size_t first_ = 0;
  size_t count_ = 0;
};

class EventQueue {
 public:
  /** `notify` is called by any thread, only once until a drain has emptied the queue. */
  EventQueue(size_t handshakes, size_t others, std::function<void()> notify)
      : handshakes_(handshakes), proven_(handshakes), others_(others), notify_(std::move(notify)) {}

  /** False: the queue is full, and the event is dropped. */
  bool push(const Event& event) {
    bool tell;
    {
      const std::lock_guard lock(mutex_);
      EventRing& ring = event.type != EventType::HANDSHAKE ? others_ : event.proven ? proven_ : handshakes_;
      if (!ring.push(event)) return false;
      tell = !told_;
      told_ = true;
    }
    if (tell) notify_();
    return true;
  }

  /**
   * Takes at most `limit` events: session events before handshake messages, and among these the messages of proven senders
   * first. True: more are queued, and the caller must call again, since there is no notification before the queue was empty.
   */
  bool drain(std::vector<Event>& events, size_t limit) {
    const std::lock_guard lock(mutex_);
    Event event;
    while (events.size() < limit && others_.pop(event)) events.push_back(event);
    while (events.size() < limit && proven_.pop(event)) events.push_back(event);
    while (events.size() < limit && handshakes_.pop(event)) events.push_back(event);
    told_ = !others_.empty() || !proven_.empty() || !handshakes_.empty();
    return told_;
  }

 private:
  std::mutex mutex_;
  EventRing handshakes_;
  EventRing proven_;
  EventRing others_;
  bool told_ = false;
  std::function<void()> notify_;
};

}  // namespace hawser
