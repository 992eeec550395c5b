// Sending: from the TUN or a peer to another peer.
#include <time.h>

#include <algorithm>

#include "checksum.h"
#include "worker.h"

namespace hawser {

namespace {

constexpr size_t TRANSPORT_HEADER = 16;
constexpr size_t OVERHEAD = TRANSPORT_HEADER + AEAD_TAG;
constexpr size_t LONGEST_INNER = 65507 - OVERHEAD;
constexpr uint8_t MESSAGE_TRANSPORT = 4;

// ICMP errors per second and thread, limited as in routers (RFC 1812, section 4.3.2.8).
constexpr uint64_t ICMP_RATE = 500;
constexpr uint64_t ICMP_BURST = 100;

}  // namespace

uint64_t engineNow() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<uint64_t>(now.tv_sec) * SECOND + static_cast<uint64_t>(now.tv_nsec);
}

Worker::Worker(Core& core, const AeadLibrary& aead, unsigned pair, int stop)
    : core_(core),
      aead_(aead.make()),
      mac1_(Mac1::make()),
      batch_(core.sockets[pair], core.udp, stop),
      writer_(core.tun.descriptors(), core.tun.features()),
      scratch_(new uint8_t[65536]),
      fragment_(new uint8_t[65536]) {}

bool Worker::takeToken(uint64_t& tokens, uint64_t& filledAt, uint64_t rate, uint64_t burst) const {
  const uint64_t interval = SECOND / rate;
  if (filledAt == 0) {
    tokens = burst;
    filledAt = now_;
  }
  const uint64_t more = (now_ - filledAt) / interval;
  if (more != 0) {
    tokens = std::min(burst, tokens + more);
    filledAt += more * interval;
  }
  if (tokens == 0) return false;
  tokens--;
  return true;
}

void Worker::fromTun(const Snapshot& snapshot, uint8_t* data, size_t length, const VirtioHeader& virtio) {
  Superpacket packet;
  if (!readSuperpacket(data, length, virtio, packet)) return core_.counters.drop(Drop::MALFORMED);
  const bool six = packet.info.six;
  if (!snapshot.anyTunSource && snapshot.tunSources.find(six, data + packet.info.sourceOffset()) == NO_VALUE)
    return core_.counters.drop(Drop::SOURCE_NOT_ALLOWED);
  const uint32_t target =
      snapshot.route(six, data + packet.info.destinationOffset(), flowHash(data, packet.info));
  // A packet from the kernel is never returned to it, which would be an endless loop.
  const PeerPlan* plan = target == LOCAL_TARGET ? nullptr : snapshot.peer(target);
  if (plan == nullptr) return core_.counters.drop(Drop::NO_ROUTE);
  leave(snapshot, *plan, packet, nullptr);
}

void Worker::leave(const Snapshot& snapshot, const PeerPlan& plan, Superpacket& packet, const PeerPlan* from) {
  const PeerSettings& settings = plan.settings;
  Peer& peer = *plan.peer;
  const PacketInfo& info = packet.info;
  const NewAddresses addresses = mapAddresses(settings.out, packet.data, info);
  if (settings.hasAdmission &&
      !settings.admission.admits(info.six, addresses.bytes, addresses.bytes + info.addressLength()))
    return peer.counters.drop(Drop::NOT_ADMITTED);
  const unsigned tunMtu = core_.tunMtu.load(std::memory_order_relaxed);
  // The kernel enforces the TUN's own MTU, which may have grown since it was read.
  const unsigned limit = settings.mtu != 0 ? settings.mtu : from != nullptr ? tunMtu : 0;
  const Splitter splitter(packet, limit);
  if ((limit != 0 && splitter.longest() > limit) || splitter.longest() > LONGEST_INNER) {
    const unsigned mtu = limit != 0 ? limit : static_cast<unsigned>(LONGEST_INNER);
    if (info.six || info.dontFragment || packet.segmented() || mtu < info.transport + 8u) {
      peer.counters.drop(Drop::TOO_BIG);
      return answer(snapshot, IcmpError::TOO_BIG, packet, mtu, from);
    }
    if (packet.partialChecksum()) completeChecksum(packet.data, packet.virtio, info.length);
    rewritePacket(settings.out, addresses, packet.data, info, false);
    return sealFragments(peer, packet, mtu, settings.mtu != 0 ? settings.mtu : tunMtu);
  }
  const bool partial = packet.partialChecksum();
  if (settings.mtu != 0) clampMss(packet.data, info, settings.mtu, partial);
  if (!settings.out.empty()) rewritePacket(settings.out, addresses, packet.data, info, partial);
  seal(peer, packet, limit, settings.mtu != 0 ? settings.mtu : tunMtu);
}

void Worker::answer(const Snapshot& snapshot, IcmpError error, const Superpacket& packet, unsigned mtu,
                    const PeerPlan* from) {
  if (!takeToken(icmpTokens_, icmpFilledAt_, ICMP_RATE, ICMP_BURST)) return;
  uint8_t bytes[LONGEST_ICMP];
  const size_t length = buildIcmpError(bytes, error, packet.data, packet.info, mtu);
  if (length == 0) return;
  if (from == nullptr) return writer_.write(bytes, length, core_.counters);
  Superpacket reply;
  // No error is sent about an error, so there is no further recursion.
  if (readSuperpacket(bytes, length, VirtioHeader{}, reply)) leave(snapshot, *from, reply, from);
}

/** False: the cipher failed; the reserved buffer is unchanged, and the packet is not sent. */
bool Worker::sealOne(const Session& session, uint64_t counter, uint8_t* message, size_t length, unsigned padTo) {
  // Padded to 16 bytes, but not beyond the MTU (WireGuard paper, section 5.4.6).
  size_t padded = (length + 15) & ~size_t{15};
  if (padded > padTo) padded = std::max<size_t>(length, padTo);
  std::memset(message + TRANSPORT_HEADER + length, 0, padded - length);
  store<uint32_t>(message, MESSAGE_TRANSPORT);
  store<uint32_t>(message + 4, session.remoteIndex);
  store<uint64_t>(message + 8, counter);
  if (!aead_->seal(session.sendKey, counter, message + TRANSPORT_HEADER, padded)) {
    session.peer->counters.drop(Drop::SEAL_FAILED);
    return false;
  }
  batch_.commit(padded + OVERHEAD);
  return true;
}

void Worker::sent(Peer& peer, Session& session, uint64_t packets, uint64_t bytes) {
  peer.counters.add(SENT_BYTES, bytes);
  peer.counters.set(LAST_SENT, now_);
  if (packets != 0) {
    peer.counters.add(SENT_PACKETS, packets);
    peer.counters.set(LAST_DATA_SENT, now_);
  }
  if (session.sendCounter.load(std::memory_order_relaxed) > REKEY_AFTER_MESSAGES)
    want(peer, Wanted::REKEY_MESSAGES);
  else if (session.initiator && session.age(now_) >= REKEY_AFTER_TIME)
    want(peer, Wanted::REKEY_TIME);
}

void Worker::seal(Peer& peer, const Superpacket& packet, unsigned mtu, unsigned padTo) {
  Splitter splitter(packet, mtu);
  Session* const session = peer.current.load(std::memory_order_acquire);
  if (session == nullptr || !session->maySend(now_)) {
    stage(peer, splitter);
    return want(peer, Wanted::NO_SESSION);
  }
  if (peer.staged.load(std::memory_order_relaxed) != 0) sendStaged(peer);
  const size_t count = splitter.count();
  const Endpoint endpoint = peer.endpoint.load();
  if (endpoint.version == 0) return peer.counters.drop(Drop::NO_ENDPOINT, count);
  const uint64_t counter = session->sendCounter.fetch_add(count, std::memory_order_relaxed);
  if (counter > REJECT_AFTER_MESSAGES - count) return peer.counters.drop(Drop::KEY_EXPIRED, count);
  batch_.to(&peer, endpoint, ecnOf(packet.data, packet.info.six));
  const size_t room = splitter.longest() + OVERHEAD + 16;
  uint64_t packets = 0, bytes = 0;
  for (size_t index = 0; index < count; index++) {
    uint8_t* const message = batch_.reserve(room);
    const size_t start = batch_.bytes();
    const size_t length = splitter.next(message + TRANSPORT_HEADER);
    if (!sealOne(*session, counter + index, message, length, padTo)) continue;
    packets++;
    bytes += batch_.bytes() - start;
  }
  if (packets != 0) sent(peer, *session, packets, bytes);
}

/** Fragments an IPv4 packet without DF, like a router (RFC 791, section 3.2). */
void Worker::sealFragments(Peer& peer, const Superpacket& whole, unsigned mtu, unsigned padTo) {
  const uint8_t* const packet = whole.data;
  const size_t header = whole.info.transport;
  const size_t step = (mtu - header) & ~size_t{7};
  const size_t payload = whole.info.length - header;
  const unsigned flags = loadBig16(packet + 6);
  Superpacket part;
  part.data = fragment_.get();
  for (size_t at = 0; at < payload; at += step) {
    const size_t length = std::min(step, payload - at);
    std::memcpy(part.data, packet, header);
    std::memcpy(part.data + header, packet + header + at, length);
    // Options without the copied flag belong only to the first fragment; the others contain no-operations instead.
    for (size_t option = 20; at != 0 && option < header && part.data[option] != 0;) {
      const size_t size = part.data[option] == 1 ? 1 : option + 1 < header ? part.data[option + 1] : 0;
      if (size == 0 || option + size > header) break;
      if ((part.data[option] & 0x80) == 0) std::memset(part.data + option, 1, size);
      option += size;
    }
    const bool more = at + length < payload || (flags & 0x2000) != 0;
    storeBig16(part.data + 2, static_cast<uint16_t>(header + length));
    storeBig16(part.data + 6, static_cast<uint16_t>((flags & 0xc000) | (more ? 0x2000 : 0) | ((flags & 0x1fff) + at / 8)));
    store<uint16_t>(part.data + 10, 0);
    store<uint16_t>(part.data + 10, static_cast<uint16_t>(~foldSum(sumBytes(part.data, header))));
    if (!parsePacket(part.data, header + length, part.info)) return peer.counters.drop(Drop::MALFORMED);
    seal(peer, part, 0, padTo);
  }
}

void Worker::stage(Peer& peer, Splitter& splitter) {
  uint32_t lost = 0;
  for (size_t index = 0; index < splitter.count(); index++) {
    const size_t length = splitter.next(scratch_.get());
    lost += core_.staging->put(peer, scratch_.get(), static_cast<uint32_t>(length));
  }
  if (lost != 0) peer.counters.drop(Drop::NO_SESSION, lost);
}

void Worker::sendStaged(Peer& peer) {
  Session* const session = peer.current.load(std::memory_order_acquire);
  if (session == nullptr || !session->maySend(now_)) return;
  const Endpoint endpoint = peer.endpoint.load();
  if (endpoint.version == 0) return;
  const uint32_t mtu = peer.mtu.load(std::memory_order_relaxed);
  // Staged packets have passed this limit; padding must not exceed it.
  const unsigned padTo = mtu != 0 ? mtu : core_.tunMtu.load(std::memory_order_relaxed);
  uint64_t packets = 0, bytes = 0;
  // Bounded, since other threads may stage more while this sends.
  for (uint32_t taken = 0; taken < Staging::PER_PEER; taken++) {
    uint8_t* const message = batch_.reserve(core_.staging->slotSize() + OVERHEAD + 16);
    const size_t start = batch_.bytes();
    const uint32_t length = core_.staging->take(peer, message + TRANSPORT_HEADER);
    if (length == 0) break;
    const uint8_t* const packet = message + TRANSPORT_HEADER;
    batch_.to(&peer, endpoint, ecnOf(packet, packet[0] >> 4 == 6));
    const uint64_t counter = session->sendCounter.fetch_add(1, std::memory_order_relaxed);
    if (counter >= REJECT_AFTER_MESSAGES) return peer.counters.drop(Drop::KEY_EXPIRED);
    if (!sealOne(*session, counter, message, length, padTo)) continue;
    packets++;
    bytes += batch_.bytes() - start;
  }
  if (packets != 0) sent(peer, *session, packets, bytes);
}

/** Encrypts and sends a payload that is not a data packet, padded with zeros to `size`. False: no session or no endpoint. */
bool Worker::sendControl(Peer& peer, const uint8_t* content, size_t length, size_t size) {
  Session* const session = peer.current.load(std::memory_order_acquire);
  if (session == nullptr || !session->maySend(now_)) return false;
  const Endpoint endpoint = peer.endpoint.load();
  if (endpoint.version == 0) return false;
  const uint64_t counter = session->sendCounter.fetch_add(1, std::memory_order_relaxed);
  if (counter >= REJECT_AFTER_MESSAGES) return false;
  batch_.to(&peer, endpoint, ECN_NOT_CAPABLE);
  uint8_t* const message = batch_.reserve(size + OVERHEAD + 16);
  if (length != 0) std::memcpy(message + TRANSPORT_HEADER, content, length);
  std::memset(message + TRANSPORT_HEADER + length, 0, size - length);
  if (!sealOne(*session, counter, message, size, static_cast<unsigned>(size))) return false;
  sent(peer, *session, 0, size + OVERHEAD);
  return true;
}

ProbeSent Worker::sendPathProbe(Peer& peer, uint32_t token, uint32_t size) {
  uint8_t question[PATH_PROBE_HEADER];
  writePathProbe(question, {PathProbe::QUESTION, token, size});
  peer.pathProbe.store(uint64_t{token} << 32 | size, std::memory_order_release);
  if (!sendControl(peer, question, sizeof question, size)) return ProbeSent::NO_SESSION;
  return batch_.flushWhole() ? ProbeSent::SENT : ProbeSent::TOO_BIG;
}

bool Worker::sendKeepalive(Peer& peer) {
  Session* const session = peer.current.load(std::memory_order_acquire);
  if (session == nullptr || !session->maySend(now_)) {
    want(peer, Wanted::NO_SESSION);
    return false;
  }
  if (peer.staged.load(std::memory_order_relaxed) != 0) {
    sendStaged(peer);
    return true;
  }
  return sendControl(peer, nullptr, 0, 0);
}

void Worker::want(Peer& peer, Wanted reason) {
  if (!peer.mayWant(now_) || peer.wantedEvent.exchange(true, std::memory_order_acq_rel)) return;
  Event event;
  event.type = EventType::HANDSHAKE_WANTED;
  event.peer = peer.id;
  event.reason = reason;
  if (!core_.tell(event)) peer.wantedEvent.store(false, std::memory_order_release);
}

}  // namespace hawser
