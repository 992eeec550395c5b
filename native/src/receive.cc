// Receiving: from the network to the TUN or to another peer.
#include <algorithm>

#include "plant.h"
#include "worker.h"

namespace hawser {

namespace {

constexpr size_t TRANSPORT_HEADER = 16;
constexpr size_t SHORTEST_TRANSPORT = TRANSPORT_HEADER + AEAD_TAG;

// WireGuard paper, sections 5.4.2 to 5.4.7. The type is one byte, followed by three zeros.
constexpr uint32_t INITIATION = 1;
constexpr uint32_t RESPONSE = 2;
constexpr uint32_t COOKIE_REPLY = 3;
constexpr uint32_t TRANSPORT = 4;
constexpr size_t INITIATION_LENGTH = 148;
constexpr size_t RESPONSE_LENGTH = 92;
constexpr size_t COOKIE_REPLY_LENGTH = 64;

// More handshake messages than JavaScript can process would only fill the queue.
constexpr uint64_t HANDSHAKE_RATE = 10'000;
constexpr uint64_t HANDSHAKE_BURST = 2'000;
/** Lifetime of a cookie and its secret: two minutes (paper, section 5.4.7). */
constexpr uint64_t COOKIE_LIFETIME = 120 * SECOND;

}  // namespace

void Worker::fromUdp(const Snapshot& snapshot, uint8_t* data, size_t length, size_t segment, const Endpoint& source,
                     uint8_t ecn) {
  outerEcn_ = ecn;
  for (size_t at = 0; at < length; at += segment) datagram(snapshot, data + at, std::min(segment, length - at), source);
  countArrivals();
}

void Worker::countArrivals() {
  if (arrivals_.peer == nullptr) return;
  const CounterRow& counters = arrivals_.peer->counters;
  counters.add(RECEIVED_BYTES, arrivals_.bytes);
  counters.set(LAST_RECEIVED, now_);
  if (arrivals_.packets != 0) {
    counters.add(RECEIVED_PACKETS, arrivals_.packets);
    counters.set(LAST_DATA_RECEIVED, now_);
  }
  arrivals_ = {};
}

void Worker::datagram(const Snapshot& snapshot, uint8_t* data, size_t length, const Endpoint& source) {
  if (length < 4 && !HAWSER_PLANTED(7)) return core_.counters.drop(Drop::MALFORMED);
  if (load<uint32_t>(data) == TRANSPORT)
    transport(snapshot, data, length, source);
  else
    handshake(data, length, source);
}

void Worker::handshake(const uint8_t* data, size_t length, const Endpoint& source) {
  const uint32_t type = load<uint32_t>(data);
  const bool known = (type == INITIATION && length == INITIATION_LENGTH) ||
                     (type == RESPONSE && length == RESPONSE_LENGTH) ||
                     (type == COOKIE_REPLY && length == COOKIE_REPLY_LENGTH);
  if (!known) return core_.counters.drop(Drop::MALFORMED);
  const Mac1Key* const key = core_.mac1.load(std::memory_order_acquire);
  if (key == nullptr) return core_.counters.drop(Drop::BAD_MAC1);
  // A message that answers none of ours is recognised by its index, which is unpredictable, and dropped before it uses the rate
  // limit. A cookie reply has no mac1; the message that it answers authenticates it.
  if (type != INITIATION && !core_.awaited.has(load<uint32_t>(data + (type == RESPONSE ? 8 : 4))))
    return core_.counters.drop(Drop::UNKNOWN_SESSION);
  if (type != COOKIE_REPLY && mac1_ && !mac1_->check(key->bytes, data, length))
    return core_.counters.drop(Drop::BAD_MAC1);
  Event event;
  if (!mayPass(data, length, source, event.proven)) return core_.counters.drop(Drop::HANDSHAKE_RATE);
  event.type = EventType::HANDSHAKE;
  event.source = source;
  event.length = static_cast<uint8_t>(length);
  std::memcpy(event.bytes, data, length);
  if (!core_.events.push(event)) core_.counters.drop(Drop::HANDSHAKE_QUEUE_FULL);
}

/** Whether the rate limit admits a handshake message; `proven`: it takes precedence over those of strangers. */
bool Worker::mayPass(const uint8_t* data, size_t length, const Endpoint& source, bool& proven) {
  const auto take = [&](Bucket& bucket) { return takeToken(bucket.tokens, bucket.filledAt, HANDSHAKE_RATE, HANDSHAKE_BURST); };
  proven = load<uint32_t>(data) != INITIATION;
  if (proven) return take(answers_);
  const CookieSecret* const secret = core_.cookieSecret.load(std::memory_order_acquire);
  if (secret != nullptr && mac1_ && now_ < secret->madeAt + COOKIE_LIFETIME) {
    char text[ENDPOINT_TEXT];
    formatEndpoint(source, text);
    proven = mac1_->checkCookie(secret->bytes, text, data, length);
  }
  return take(proven ? holders_ : strangers_);
}

void Worker::transport(const Snapshot& snapshot, uint8_t* data, size_t length, const Endpoint& source) {
  if (length < SHORTEST_TRANSPORT && !HAWSER_PLANTED(7)) return core_.counters.drop(Drop::MALFORMED);
  Session* const session = core_.sessions.find(load<uint32_t>(data + 4));
  if (session == nullptr || session->closed(now_))
    return core_.counters.drop(Drop::UNKNOWN_SESSION);
  Peer& peer = *session->peer;
  const uint64_t counter = load<uint64_t>(data + 8);
  if (session->age(now_) >= REJECT_AFTER_TIME || counter >= REJECT_AFTER_MESSAGES)
    return peer.counters.drop(Drop::KEY_EXPIRED);
  const size_t padded = length - SHORTEST_TRANSPORT;
  uint8_t* const inner = data + TRANSPORT_HEADER;
  if (!aead_->open(session->receiveKey, counter, inner, padded)) return peer.counters.drop(Drop::AUTHENTICATION);
  if (!session->replay.accept(counter)) return peer.counters.drop(Drop::REPLAY);

  if (arrivals_.peer != &peer) {
    countArrivals();
    arrivals_.peer = &peer;
    // The following datagrams have the same source.
    roam(peer, source);
  }
  arrivals_.bytes += length;
  if (peer.next.load(std::memory_order_acquire) == session) {
    // Counted before the event, so that its receiver sees the first message in the counters.
    countArrivals();
    arrivals_.peer = &peer;
    confirm(peer, *session);
  }
  // Only for the current session: late packets of a renewed one request nothing.
  if (session->initiator && session->age(now_) >= REKEY_AFTER_TIME_RECEIVING &&
      peer.current.load(std::memory_order_relaxed) == session)
    want(peer, Wanted::REKEY_TIME);
  if (padded == 0) return peer.counters.add(KEEPALIVES_RECEIVED, 1);
  if (mayBePathProbe(inner) && takePathProbe(peer, inner, padded)) return;

  arrivals_.packets++;
  PacketInfo info;
  if (!parsePacket(inner, padded, info)) return peer.counters.drop(Drop::MALFORMED);
  const PeerPlan* const plan = snapshot.peer(peer.id);
  if (plan == nullptr || plan->peer.get() != &peer) return core_.counters.drop(Drop::UNKNOWN_SESSION);
  // Usually both are equal, since the sender copied it.
  const uint8_t ecn = ecnOf(inner, info.six);
  if (ecn != outerEcn_) {
    const uint8_t leaving = ecnLeaving(ecn, outerEcn_);
    if (leaving == ECN_DROP) return peer.counters.drop(Drop::CONGESTION_UNANNOUNCED);
    if (leaving != ecn) setEcn(inner, info.six, leaving);
  }
  enter(snapshot, *plan, inner, info);
}

void Worker::enter(const Snapshot& snapshot, const PeerPlan& plan, uint8_t* data, const PacketInfo& info) {
  const PeerSettings& settings = plan.settings;
  Peer& peer = *plan.peer;
  if (settings.hasAdmission &&
      !settings.admission.admits(info.six, data + info.destinationOffset(), data + info.sourceOffset()))
    return peer.counters.drop(Drop::NOT_ADMITTED);
  if (!settings.in.empty()) rewritePacket(settings.in, mapAddresses(settings.in, data, info), data, info, false);
  if (!snapshot.routesTo(info.six, data + info.sourceOffset(), settings.id))
    return peer.counters.drop(Drop::SOURCE_NOT_ALLOWED);
  if (settings.mtu != 0) clampMss(data, info, settings.mtu, false);
  if (!core_.switching.load(std::memory_order_relaxed)) return writer_.add(data, info, peer.counters);
  const uint32_t target = snapshot.route(info.six, data + info.destinationOffset(), flowHash(data, info));
  if (target == LOCAL_TARGET) return writer_.add(data, info, peer.counters);
  const PeerPlan* const to = snapshot.peer(target);
  // Never back to its sender: two sides that route to each other would loop it.
  if (to == nullptr || target == settings.id) return peer.counters.drop(Drop::NO_ROUTE);
  Superpacket packet;
  packet.data = data;
  packet.info = info;
  if (!decrementHops(data, info)) {
    peer.counters.drop(Drop::TIME_EXCEEDED);
    return answer(snapshot, IcmpError::TIME_EXCEEDED, packet, 0, &plan);
  }
  leave(snapshot, *to, packet, &plan);
}

/** False if it is not a probe. The answer is sent through the peer's session, independent of the request's source. */
bool Worker::takePathProbe(Peer& peer, const uint8_t* inner, size_t length) {
  PathProbe probe;
  if (!readPathProbe(inner, length, probe)) return false;
  if (probe.kind == PathProbe::QUESTION) {
    probe.kind = PathProbe::ANSWER;
    uint8_t answer[PATH_PROBE_HEADER];
    writePathProbe(answer, probe);
    sendControl(peer, answer, sizeof answer, sizeof answer);
    return true;
  }
  // At most one event per probe of ours, whatever a peer sends.
  uint64_t asked = uint64_t{probe.token} << 32 | probe.size;
  if (asked == 0 || !peer.pathProbe.compare_exchange_strong(asked, 0, std::memory_order_acq_rel)) return true;
  Event event;
  event.type = EventType::PROBE_ANSWERED;
  event.peer = peer.id;
  event.token = probe.token;
  core_.tell(event);
  return true;
}

void Worker::roam(Peer& peer, const Endpoint& source) {
  const Endpoint known = peer.endpoint.load();
  const bool moved = !known.sameRemote(source);
  if (!moved && known.sameLocal(source)) return;
  peer.endpoint.store(source);
  if (!moved) return;
  peer.sendSingly.store(false, std::memory_order_relaxed);
  if (peer.endpointEvent.exchange(true, std::memory_order_acq_rel)) return;
  Event event;
  event.type = EventType::ENDPOINT_CHANGED;
  event.peer = peer.id;
  if (!core_.tell(event)) peer.endpointEvent.store(false, std::memory_order_release);
}

void Worker::confirm(Peer& peer, Session& session) {
  {
    const std::lock_guard lock(peer.keypairs);
    if (peer.next.load(std::memory_order_relaxed) != &session) return;
    core_.drop(peer.previous.load(std::memory_order_relaxed), now_ + REPLACED_SESSION_TIME);
    peer.previous.store(peer.current.load(std::memory_order_relaxed), std::memory_order_release);
    peer.current.store(&session, std::memory_order_release);
    peer.next.store(nullptr, std::memory_order_release);
  }
  peer.confirmedIndex.store(session.localIndex, std::memory_order_release);
  if (!peer.confirmedEvent.exchange(true, std::memory_order_acq_rel)) {
    Event event;
    event.type = EventType::SESSION_CONFIRMED;
    event.peer = peer.id;
    if (!core_.tell(event)) peer.confirmedEvent.store(false, std::memory_order_release);
  }
  sendStaged(peer);
}

}  // namespace hawser
