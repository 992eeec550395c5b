// Superpackets: split into packets that a simple implementation accepts, and merged back to the same bytes.
#include "../../../native/src/segment.h"

#include "../../../native/src/checksum.h"
#include "../../../native/src/coalesce.h"
#include "reference.h"
#include "../../../native/src/tun.h"
#include "tests.h"

using namespace hawser;
using namespace reference;

namespace {

/** A TCP or UDP superpacket as from the kernel: complete lengths, the pseudo-header's sum in the checksum field. */
Bytes makeSuper(Random& random, bool six, bool tcp, size_t payload, uint16_t segment, VirtioHeader& virtio) {
  PacketKind kind;
  kind.six = six;
  kind.protocol = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
  kind.payload = payload;
  uint8_t source[16] = {10, 1}, destination[16] = {10, 2};
  for (int at = 2; at < 16; at++) source[at] = destination[at] = static_cast<uint8_t>(random.next());
  Bytes packet = makePacket(random, kind, source, destination);
  PacketInfo info;
  CHECK(parsePacket(packet.data(), packet.size(), info));
  virtio = {};
  virtio.flags = VIRTIO_NEEDS_CHECKSUM;
  virtio.segmentation = !tcp ? VIRTIO_SEGMENT_UDP : six ? VIRTIO_SEGMENT_TCP6 : VIRTIO_SEGMENT_TCP4;
  virtio.segmentSize = segment;
  virtio.checksumStart = info.transport;
  virtio.checksumOffset = tcp ? 16 : 6;
  putBig16(&packet[info.transport + virtio.checksumOffset],
           slowPseudo(packet.data(), six, kind.protocol, info.length - info.transport));
  return packet;
}

}  // namespace

void testSplit() {
  Random random(3);
  for (int round = 0; round < 1500; round++) {
    const bool six = random.chance(50), tcp = random.chance(60);
    const auto segment = static_cast<uint16_t>(100 + random.below(1400));
    const size_t payload = 1 + random.below(random.chance(20) ? 60000 : 6000);
    VirtioHeader virtio;
    Bytes super = makeSuper(random, six, tcp, payload, segment, virtio);
    const unsigned transport = six ? 40 : 20;
    if (tcp) super[transport + 13] = static_cast<uint8_t>(TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR);
    Superpacket packet;
    CHECK(readSuperpacket(super.data(), super.size(), virtio, packet));
    const unsigned mtu = random.chance(30) ? 576 : 0;
    Splitter splitter(packet, mtu);
    Bytes together;
    Bytes out(splitter.longest());
    const size_t headers = transport + (tcp ? (super[transport + 12] >> 4) * 4u : 8u);
    for (size_t index = 0; index < splitter.count(); index++) {
      const size_t length = splitter.next(out.data());
      CHECK(length <= splitter.longest());
      CHECK(!tcp || mtu == 0 || length <= mtu);
      CHECK(checksumsRight(out.data(), length));
      PacketInfo info;
      CHECK(parsePacket(out.data(), length, info) && info.length == length);
      CHECK(length - headers <= segment);
      const bool last = index + 1 == splitter.count();
      if (tcp) {
        const uint32_t sequence = loadBig32(&super[transport + 4]) + static_cast<uint32_t>(together.size());
        CHECK(loadBig32(&out[transport + 4]) == sequence);
        CHECK(((out[transport + 13] & (TCP_PSH | TCP_FIN)) != 0) == last);
        CHECK(((out[transport + 13] & TCP_CWR) != 0) == (index == 0));
      } else {
        CHECK(big16(&out[transport + 4]) == length - transport);
      }
      if (!six) CHECK(big16(&out[4]) == static_cast<uint16_t>(big16(&super[4]) + index));
      together.insert(together.end(), out.begin() + static_cast<long>(headers), out.begin() + static_cast<long>(length));
    }
    CHECK(together == Bytes(super.begin() + static_cast<long>(headers), super.end()));
  }
}

void testMerge() {
  Random random(4);
  for (int round = 0; round < 1500; round++) {
    const bool six = random.chance(50), tcp = random.chance(60);
    const auto segment = static_cast<uint16_t>(300 + random.below(1100));
    const size_t payload = 1 + random.below(size_t{segment} * 40);
    VirtioHeader virtio;
    Bytes super = makeSuper(random, six, tcp, payload, segment, virtio);
    const unsigned transport = six ? 40 : 20;
    if (tcp && random.chance(50)) super[transport + 13] |= TCP_PSH;
    Superpacket packet;
    CHECK(readSuperpacket(super.data(), super.size(), virtio, packet));
    Splitter splitter(packet, 0);
    std::vector<Bytes> parts;
    for (size_t index = 0; index < splitter.count(); index++) {
      Bytes part(splitter.longest());
      part.resize(splitter.next(part.data()));
      parts.push_back(part);
    }
    const auto merge = std::make_unique<Merge>();
    PacketInfo info;
    CHECK(parsePacket(parts[0].data(), parts[0].size(), info));
    CHECK(beginMerge(*merge, parts[0].data(), info, true));
    bool all = true;
    for (size_t index = 1; index < parts.size(); index++) {
      CHECK(parsePacket(parts[index].data(), parts[index].size(), info));
      CHECK(sameFlow(*merge, parts[index].data(), info));
      // A wrong checksum, a gap, another acknowledgement: merging must not hide any of them.
      Bytes wrong = parts[index];
      wrong[wrong.size() - 1] ^= 1;
      CHECK(!extendMerge(*merge, wrong.data(), info));
      if (!info.six) {
        wrong = parts[index];
        wrong[10] ^= 1;
        CHECK(!extendMerge(*merge, wrong.data(), info));
      }
      if (tcp) {
        for (const unsigned at : {4u, 8u, 14u}) {
          wrong = parts[index];
          wrong[transport + at] ^= 1;
          finishChecksums(wrong);
          CHECK(!extendMerge(*merge, wrong.data(), info));
        }
      }
      if (!six) {
        // IP identification has a meaning only where the packet may be fragmented: there merging must not hide a gap.
        wrong = parts[index];
        wrong[5] ^= 0x40;
        finishChecksums(wrong);
        if (!info.dontFragment) CHECK(!extendMerge(*merge, wrong.data(), info));
      }
      all = extendMerge(*merge, parts[index].data(), info);
      if (!all) break;
    }
    CHECK(all);
    const VirtioHeader made = finishMerge(*merge);
    Bytes merged;
    for (unsigned part = 1; part <= merge->parts; part++) {
      const auto* from = static_cast<const uint8_t*>(merge->vectors[part].iov_base);
      merged.insert(merged.end(), from, from + merge->vectors[part].iov_len);
    }
    if (parts.size() > 1) {
      CHECK(made.segmentation == virtio.segmentation && made.segmentSize == segment);
      CHECK(merged == super);
    }
    CHECK(made.checksumStart == virtio.checksumStart && made.checksumOffset == virtio.checksumOffset);
    completeChecksum(merged.data(), made, merged.size());
    CHECK(checksumsRight(merged.data(), merged.size()));
  }
}

namespace {

std::vector<Bytes> accepted;

/** A kernel that refuses superpackets from a TUN device, although it offered the feature. */
ssize_t refuseMerged(int, const iovec* vectors, int count) {
  VirtioHeader virtio;
  std::memcpy(&virtio, vectors[0].iov_base, sizeof virtio);
  if (virtio.segmentation != VIRTIO_SEGMENT_NONE) {
    errno = EINVAL;
    return -1;
  }
  Bytes packet;
  for (int at = 1; at < count; at++) {
    const auto* from = static_cast<const uint8_t*>(vectors[at].iov_base);
    packet.insert(packet.end(), from, from + vectors[at].iov_len);
  }
  if (virtio.flags & VIRTIO_NEEDS_CHECKSUM) completeChecksum(packet.data(), virtio, packet.size());
  accepted.push_back(packet);
  return static_cast<ssize_t>(packet.size());
}

}  // namespace

void testRefusedMerge() {
  Random random(12);
  for (const bool tcp : {true, false})
    for (const bool six : {true, false}) {
      std::vector<uint64_t> row(COUNTER_STRIDE);
      const CounterRow counters(row.data());
      TunFeatures features;
      features.virtioHeader = true;
      features.tcpSegmentation = true;
      features.udpSegmentation = true;
      TunWriter writer({0}, features, refuseMerged);
      accepted.clear();
      VirtioHeader virtio;
      Bytes super = makeSuper(random, six, tcp, 1000 * 20 + 7, 1000, virtio);
      if (tcp) super[(six ? 40u : 20u) + 13] |= TCP_PSH;
      Superpacket packet;
      CHECK(readSuperpacket(super.data(), super.size(), virtio, packet));
      for (int round = 0; round < 2; round++) {
        Splitter splitter(packet, 0);
        std::vector<Bytes> parts, originals;
        for (size_t index = 0; index < splitter.count(); index++) {
          Bytes part(splitter.longest());
          part.resize(splitter.next(part.data()));
          parts.push_back(part);
        }
        originals = parts;
        for (Bytes& part : parts) {
          PacketInfo info;
          CHECK(parsePacket(part.data(), part.size(), info));
          writer.add(part.data(), info, counters);
        }
        writer.flush();
        // No packet is lost, including those merged before the refusal, and all are unchanged.
        CHECK(accepted == originals);
        CHECK(counters.get(static_cast<Counter>(FIRST_DROP + static_cast<size_t>(Drop::TUN_WRITE_FAILED))) == 0);
        CHECK((tcp ? features.tcpSegmentation : features.udpSegmentation) == false);
        CHECK((tcp ? features.udpSegmentation : features.tcpSegmentation) == true);
        accepted.clear();
      }
    }
}
