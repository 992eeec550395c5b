// Superpackets: packets of up to 64 KB from the kernel that are sent as several.
#pragma once

#include "packet.h"

namespace hawser {

/** The struct virtio_net_hdr of the virtio specification 1.2, section 5.1.6, without the field num_buffers. */
struct VirtioHeader {
  uint8_t flags;
  uint8_t segmentation;
  uint16_t headerLength;
  uint16_t segmentSize;
  uint16_t checksumStart;
  uint16_t checksumOffset;
};
static_assert(sizeof(VirtioHeader) == 10);

constexpr uint8_t VIRTIO_NEEDS_CHECKSUM = 1;
constexpr uint8_t VIRTIO_DATA_VALID = 2;
constexpr uint8_t VIRTIO_SEGMENT_NONE = 0;
constexpr uint8_t VIRTIO_SEGMENT_TCP4 = 1;
constexpr uint8_t VIRTIO_SEGMENT_TCP6 = 4;
constexpr uint8_t VIRTIO_SEGMENT_UDP = 5;
constexpr uint8_t VIRTIO_SEGMENT_ECN = 0x80;

/** A packet from the TUN device, possibly unsegmented and with an incomplete checksum. */
struct Superpacket {
  uint8_t* data = nullptr;
  PacketInfo info;
  VirtioHeader virtio{};

  bool partialChecksum() const { return (virtio.flags & VIRTIO_NEEDS_CHECKSUM) != 0; }
  bool segmented() const { return virtio.segmentation != VIRTIO_SEGMENT_NONE; }
};

/**
 * Parses a packet with its virtio header (zero if the device has none). False: malformed, or the virtio header doesn't match
 * the packet.
 */
bool readSuperpacket(uint8_t* data, size_t length, const VirtioHeader& virtio, Superpacket& packet);

/** Splits a superpacket into the packets to be sent, each with complete checksums. */
class Splitter {
 public:
  /** `mtu` limits the packets of a TCP superpacket, which may be split anywhere; 0: the sender's segment size. */
  Splitter(const Superpacket& packet, unsigned mtu);

  size_t count() const { return count_; }
  /** Length of the longest packet. */
  size_t longest() const { return headers_ + size_; }
  /** Writes the next packet to `to`, which must have room for `longest()`; returns its length. Call it `count()` times. */
  size_t next(uint8_t* to);

 private:
  size_t whole(uint8_t* to);

  const Superpacket& packet_;
  size_t headers_;
  size_t size_;
  size_t payload_;
  size_t count_;
  size_t index_ = 0;
};

/** Completes the checksum that the kernel left to the device. */
void completeChecksum(uint8_t* packet, const VirtioHeader& virtio, size_t length);

}  // namespace hawser
