#include "coalesce.h"

#include <errno.h>

#include "checksum.h"
#include "plant.h"
#include "tun.h"

namespace hawser {

namespace {

constexpr uint32_t LONGEST = 65535;
/** UDP_MAX_SEGMENTS before Linux 6.9. */
constexpr unsigned UDP_PARTS = 64;

/** Verifies both checksums: of a merged packet only the payload remains, so the kernel cannot verify them. */
bool checksumsRight(const uint8_t* packet, const PacketInfo& info) {
  // Only headers without options are merged: 20 bytes (RFC 791, section 3.1).
  if (!info.six && foldSum(sumBytes(packet, 20)) != 0xffff) return false;
  const uint32_t length = info.length - info.transport;
  const uint64_t sum = sumPseudoHeader(packet + info.sourceOffset(), info.addressLength() * 2, info.protocol, length) +
                       sumBytes(packet + info.transport, length);
  return foldSum(sum) == 0xffff;
}

bool sameIpHeader(const uint8_t* left, const uint8_t* right, bool six) {
  // All fields visible to a receiver: traffic class, flow label and hop limit; or TOS, DF and TTL.
  if (six) return load<uint32_t>(left) == load<uint32_t>(right) && left[7] == right[7];
  return load<uint16_t>(left) == load<uint16_t>(right) && load<uint16_t>(left + 6) == load<uint16_t>(right + 6) &&
         left[8] == right[8];
}

uint32_t headersOf(const uint8_t* packet, const PacketInfo& info) {
  return info.transport + (info.protocol == PROTOCOL_TCP ? (packet[info.transport + 12] >> 4) * 4u : 8u);
}

}  // namespace

bool beginMerge(Merge& merge, uint8_t* packet, const PacketInfo& info, bool udp) {
  if (info.fragment || info.transport != (info.six ? 40 : 20)) return false;
  const uint8_t* transport = packet + info.transport;
  const bool tcp = info.protocol == PROTOCOL_TCP;
  if (tcp) {
    if ((transport[13] & ~TCP_PSH) != TCP_ACK) return false;
  } else if (info.protocol == PROTOCOL_UDP) {
    if (!udp || load<uint16_t>(transport + 6) == 0) return false;
    if (loadBig16(transport + 4) != info.length - info.transport) return false;
  } else {
    return false;
  }
  const uint32_t headers = headersOf(packet, info);
  if (info.length <= headers || !checksumsRight(packet, info)) return false;
  merge.first = packet;
  merge.info = info;
  merge.headers = headers;
  merge.segment = merge.payload = info.length - headers;
  merge.nextSequence = tcp ? loadBig32(transport + 4) + merge.payload : 0;
  merge.closed = tcp && (transport[13] & TCP_PSH) != 0;
  merge.firstFlags = tcp ? transport[13] : 0;
  merge.parts = 1;
  merge.vectors[1] = {packet, info.length};
  return true;
}

bool sameFlow(const Merge& merge, const uint8_t* packet, const PacketInfo& info) {
  if (merge.info.six != info.six || merge.info.protocol != info.protocol || info.laterFragment) return false;
  const unsigned at = info.sourceOffset();
  return load<uint32_t>(merge.first + merge.info.transport) == load<uint32_t>(packet + info.transport) &&
         std::memcmp(merge.first + at, packet + at, info.addressLength() * 2) == 0;
}

bool extendMerge(Merge& merge, uint8_t* packet, const PacketInfo& info) {
  if (merge.closed || info.fragment || info.transport != merge.info.transport) return false;
  const uint32_t headers = headersOf(packet, info);
  if (headers != merge.headers || info.length <= headers) return false;
  const uint32_t payload = info.length - headers;
  if (payload > merge.segment || merge.headers + merge.payload + payload > LONGEST) return false;
  if (!sameIpHeader(merge.first, packet, info.six)) return false;
  // Segmentation numbers packets upwards from the first. If a router may fragment them, a different identification could mix
  // fragments of two packets; without fragmentation it has no meaning (RFC 6864, section 4).
  if (!info.six && !info.dontFragment && !HAWSER_PLANTED(13) &&
      loadBig16(packet + 4) != static_cast<uint16_t>(loadBig16(merge.first + 4) + merge.parts))
    return false;
  const uint8_t* left = merge.first + info.transport;
  const uint8_t* right = packet + info.transport;
  bool push = false;
  if (info.protocol == PROTOCOL_TCP) {
    if (merge.parts >= Merge::PARTS) return false;
    if ((right[13] & ~TCP_PSH) != TCP_ACK) return false;
    if (loadBig32(right + 4) != merge.nextSequence && !HAWSER_PLANTED(8)) return false;
    // Acknowledged, header length, window, urgent pointer; then the options (other time stamps aren't merged).
    if (load<uint32_t>(left + 8) != load<uint32_t>(right + 8) || left[12] != right[12] ||
        load<uint16_t>(left + 14) != load<uint16_t>(right + 14) ||
        load<uint16_t>(left + 18) != load<uint16_t>(right + 18))
      return false;
    const uint32_t options = headers - info.transport - 20;
    if (options != 0 && std::memcmp(left + 20, right + 20, options) != 0) return false;
    push = (right[13] & TCP_PSH) != 0;
  } else {
    if (merge.parts >= UDP_PARTS || load<uint16_t>(right + 6) == 0) return false;
    if (loadBig16(right + 4) != info.length - info.transport) return false;
  }
  if (!checksumsRight(packet, info)) return false;
  if (push) merge.first[info.transport + 13] |= TCP_PSH;
  merge.vectors[1 + merge.parts++] = {packet + headers, payload};
  merge.payload += payload;
  merge.nextSequence += payload;
  merge.closed = push || payload < merge.segment;
  return true;
}

VirtioHeader finishMerge(Merge& merge) {
  const PacketInfo& info = merge.info;
  uint8_t* packet = merge.first;
  const uint32_t total = merge.headers + merge.payload;
  const bool tcp = info.protocol == PROTOCOL_TCP;
  VirtioHeader virtio{};
  virtio.flags = VIRTIO_NEEDS_CHECKSUM;
  virtio.checksumStart = info.transport;
  virtio.checksumOffset = static_cast<uint16_t>(checksumOffset(info.protocol));
  if (merge.parts > 1) {
    virtio.segmentation = !tcp ? VIRTIO_SEGMENT_UDP : info.six ? VIRTIO_SEGMENT_TCP6 : VIRTIO_SEGMENT_TCP4;
    virtio.headerLength = static_cast<uint16_t>(merge.headers);
    virtio.segmentSize = static_cast<uint16_t>(merge.segment);
    if (info.six) {
      storeBig16(packet + 4, static_cast<uint16_t>(total - 40));
    } else {
      const auto before = load<uint16_t>(packet + 2);
      storeBig16(packet + 2, static_cast<uint16_t>(total));
      store<uint16_t>(packet + 10, updateChecksum(load<uint16_t>(packet + 10),
                                                  sumDifference16(before, load<uint16_t>(packet + 2))));
    }
    if (!tcp) storeBig16(packet + info.transport + 4, static_cast<uint16_t>(total - info.transport));
  }
  const uint64_t pseudo = sumPseudoHeader(packet + info.sourceOffset(), info.addressLength() * 2, info.protocol,
                                          total - info.transport);
  store<uint16_t>(packet + info.transport + virtio.checksumOffset, foldSum(pseudo));
  return virtio;
}

size_t undoMerge(Merge& merge, unsigned part, uint8_t*& packet) {
  const PacketInfo& info = merge.info;
  const auto& vector = merge.vectors[1 + part];
  if (part > 0) {
    // The packet's headers are still in place before its payload.
    packet = static_cast<uint8_t*>(vector.iov_base) - merge.headers;
    return merge.headers + vector.iov_len;
  }
  packet = merge.first;
  const uint32_t length = static_cast<uint32_t>(vector.iov_len);
  if (info.six) {
    storeBig16(packet + 4, static_cast<uint16_t>(length - 40));
  } else {
    const auto before = load<uint16_t>(packet + 2);
    storeBig16(packet + 2, static_cast<uint16_t>(length));
    store<uint16_t>(packet + 10,
                    updateChecksum(load<uint16_t>(packet + 10), sumDifference16(before, load<uint16_t>(packet + 2))));
  }
  if (info.protocol == PROTOCOL_TCP)
    packet[info.transport + 13] = merge.firstFlags;
  else
    storeBig16(packet + info.transport + 4, static_cast<uint16_t>(length - info.transport));
  uint8_t* const field = packet + info.transport + checksumOffset(info.protocol);
  store<uint16_t>(field, 0);
  const uint64_t sum = sumPseudoHeader(packet + info.sourceOffset(), info.addressLength() * 2, info.protocol,
                                       length - info.transport) +
                       sumBytes(packet + info.transport, length - info.transport);
  const auto checksum = static_cast<uint16_t>(~foldSum(sum));
  store<uint16_t>(field, checksum == 0 && info.protocol == PROTOCOL_UDP ? uint16_t{0xffff} : checksum);
  return length;
}

TunWriter::TunWriter(std::vector<int> queues, TunFeatures& features, Write writer)
    : queues_(std::move(queues)), features_(features), write_(writer), merges_(new Merge[FLOWS]) {}

void TunWriter::add(uint8_t* packet, const PacketInfo& info, const CounterRow& counters) {
  const bool udp = features_.udpSegmentation.load(std::memory_order_relaxed);
  const bool mergeable =
      info.protocol == PROTOCOL_TCP ? features_.tcpSegmentation.load(std::memory_order_relaxed) : info.protocol == PROTOCOL_UDP && udp;
  if (!mergeable) return writeTo(queueOf(packet, info), packet, info.length, counters);
  unsigned at = 0;
  while (at < open_ && !sameFlow(merges_[at], packet, info)) at++;
  if (at < open_) {
    if (extendMerge(merges_[at], packet, info)) return;
    // The merged packets are written first, to keep the flow in order.
    writeMerge(merges_[at]);
    if (beginMerge(merges_[at], packet, info, udp)) {
      merges_[at].counters = counters;
      return;
    }
    if (at != --open_) std::swap(merges_[at], merges_[open_]);
    return writeTo(queueOf(packet, info), packet, info.length, counters);
  }
  if (open_ == FLOWS) flush();
  if (!beginMerge(merges_[open_], packet, info, udp))
    return writeTo(queueOf(packet, info), packet, info.length, counters);
  merges_[open_++].counters = counters;
}

/**
 * The kernel delivers a flow's packets to the queue that last carried the other direction. One thread receives all packets of
 * a peer; spreading its writes over the queues distributes the packets to that peer over the threads.
 */
int TunWriter::queueOf(const uint8_t* packet, const PacketInfo& info) const {
  return queues_.size() == 1 ? queues_[0] : queues_[flowHash(packet, info) % queues_.size()];
}

void TunWriter::write(uint8_t* packet, size_t length, const CounterRow& counters) {
  writeTo(queues_[0], packet, length, counters);
}

void TunWriter::writeTo(int queue, uint8_t* packet, size_t length, const CounterRow& counters) {
  VirtioHeader virtio{};
  iovec vectors[2] = {{&virtio, sizeof virtio}, {packet, length}};
  const ssize_t written = features_.virtioHeader ? write_(queue, vectors, 2) : ::write(queue, packet, length);
  if (written < 0) counters.drop(Drop::TUN_WRITE_FAILED);
}

void TunWriter::writeMerge(Merge& merge) {
  const int queue = queueOf(merge.first, merge.info);
  if (!features_.virtioHeader) return writeTo(queue, merge.first, merge.info.length, merge.counters);
  VirtioHeader virtio = finishMerge(merge);
  merge.vectors[0] = {&virtio, sizeof virtio};
  if (write_(queue, merge.vectors, static_cast<int>(merge.parts + 1)) >= 0) return;
  if (errno == EINVAL && merge.parts > 1) return writeApart(merge, queue);
  merge.counters.drop(Drop::TUN_WRITE_FAILED, merge.parts);
}

/** After a refused superpacket: if its single packets are accepted, merging is turned off, which the status shows. */
void TunWriter::writeApart(Merge& merge, int queue) {
  bool all = true;
  for (unsigned part = 0; part < merge.parts; part++) {
    uint8_t* packet = nullptr;
    VirtioHeader virtio{};
    const size_t length = undoMerge(merge, part, packet);
    iovec vectors[2] = {{&virtio, sizeof virtio}, {packet, length}};
    if (write_(queue, vectors, 2) >= 0) continue;
    merge.counters.drop(Drop::TUN_WRITE_FAILED);
    all = false;
  }
  if (!all) return;
  (merge.info.protocol == PROTOCOL_TCP ? features_.tcpSegmentation : features_.udpSegmentation) = false;
}

void TunWriter::flush() {
  for (unsigned at = 0; at < open_; at++) writeMerge(merges_[at]);
  open_ = 0;
}

}  // namespace hawser
