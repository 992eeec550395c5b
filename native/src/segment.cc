#include "segment.h"

#include "checksum.h"
#include "plant.h"

namespace hawser {

bool readSuperpacket(uint8_t* data, size_t length, const VirtioHeader& virtio, Superpacket& packet) {
  if (!parsePacket(data, length, packet.info)) return false;
  packet.data = data;
  packet.virtio = virtio;
  packet.virtio.segmentation &= static_cast<uint8_t>(~VIRTIO_SEGMENT_ECN);
  const PacketInfo& info = packet.info;
  if (packet.partialChecksum()) {
    if (size_t{virtio.checksumStart} + virtio.checksumOffset + 2 > info.length) return false;
    // Translation corrects the checksum field of the transport header; no kernel uses another position.
    if (!info.laterFragment && checksumOffset(info.protocol) != 0 &&
        (virtio.checksumStart != info.transport || virtio.checksumOffset != checksumOffset(info.protocol)))
      return false;
  }
  if (!packet.segmented()) return true;
  if (virtio.segmentSize == 0 || info.fragment) return false;
  switch (packet.virtio.segmentation) {
    case VIRTIO_SEGMENT_TCP4:
      return !info.six && info.protocol == PROTOCOL_TCP;
    case VIRTIO_SEGMENT_TCP6:
      return info.six && info.protocol == PROTOCOL_TCP;
    case VIRTIO_SEGMENT_UDP:
      return info.protocol == PROTOCOL_UDP;
    default:
      return false;
  }
}

void completeChecksum(uint8_t* packet, const VirtioHeader& virtio, size_t length) {
  uint8_t* field = packet + virtio.checksumStart + virtio.checksumOffset;
  const uint64_t sum = sumBytes(packet + virtio.checksumStart, length - virtio.checksumStart);
  auto checksum = static_cast<uint16_t>(~foldSum(sum));
  // All ones represents a computed zero in UDP (RFC 768), and is equivalent to zero elsewhere.
  if (checksum == 0 && virtio.checksumOffset == 6) checksum = 0xffff;
  store<uint16_t>(field, checksum);
}

Splitter::Splitter(const Superpacket& packet, unsigned mtu) : packet_(packet) {
  const PacketInfo& info = packet.info;
  if (!packet.segmented()) {
    headers_ = 0;
    size_ = payload_ = info.length;
    count_ = 1;
    return;
  }
  const bool tcp = info.protocol == PROTOCOL_TCP;
  headers_ = info.transport + (tcp ? (packet.data[info.transport + 12] >> 4) * 4u : 8u);
  payload_ = info.length - headers_;
  size_ = packet.virtio.segmentSize;
  if (tcp && mtu > headers_ && headers_ + size_ > mtu) size_ = mtu - headers_;
  if (size_ > payload_) size_ = payload_;
  count_ = size_ == 0 ? 1 : (payload_ + size_ - 1) / size_;
}

size_t Splitter::whole(uint8_t* to) {
  std::memcpy(to, packet_.data, packet_.info.length);
  if (packet_.partialChecksum()) completeChecksum(to, packet_.virtio, packet_.info.length);
  return packet_.info.length;
}

size_t Splitter::next(uint8_t* to) {
  if (!packet_.segmented()) return whole(to);
  const PacketInfo& info = packet_.info;
  const size_t at = index_ * size_;
  const bool first = index_ == 0;
  const bool last = index_ + 1 == count_;
  size_t length = last ? payload_ - at : size_;
  if (HAWSER_PLANTED(5) && last && count_ > 1) length = payload_ % size_;
  std::memcpy(to, packet_.data, headers_);
  const uint64_t payload = copyAndSum(to + headers_, packet_.data + headers_ + at, length);
  const size_t total = headers_ + length;
  if (info.six) {
    storeBig16(to + 4, static_cast<uint16_t>(total - 40));
  } else {
    storeBig16(to + 2, static_cast<uint16_t>(total));
    // Each packet is a separate datagram with its own identification (RFC 791), counted up as in hardware offload.
    storeBig16(to + 4, static_cast<uint16_t>(loadBig16(to + 4) + index_));
    store<uint16_t>(to + 10, 0);
    store<uint16_t>(to + 10, static_cast<uint16_t>(~foldSum(sumBytes(to, (to[0] & 15u) * 4))));
  }
  uint8_t* transport = to + info.transport;
  const auto transportLength = static_cast<uint32_t>(total - info.transport);
  if (info.protocol == PROTOCOL_TCP) {
    if (!HAWSER_PLANTED(4)) storeBig32(transport + 4, loadBig32(transport + 4) + static_cast<uint32_t>(at));
    // FIN and PSH belong to the last packet, CWR only to the first (RFC 3168, section 6.1.2).
    if (!last) transport[13] &= static_cast<uint8_t>(~(TCP_FIN | TCP_PSH));
    if (!first) transport[13] &= static_cast<uint8_t>(~TCP_CWR);
  } else {
    storeBig16(transport + 4, static_cast<uint16_t>(transportLength));
  }
  uint8_t* field = transport + checksumOffset(info.protocol);
  store<uint16_t>(field, 0);
  const uint64_t sum =
      sumPseudoHeader(to + info.sourceOffset(), info.addressLength() * 2, info.protocol, transportLength) +
      sumBytes(transport, headers_ - info.transport) + payload;
  auto checksum = static_cast<uint16_t>(~foldSum(sum));
  if (checksum == 0 && info.protocol == PROTOCOL_UDP) checksum = 0xffff;
  store<uint16_t>(field, checksum);
  index_++;
  return total;
}

}  // namespace hawser
