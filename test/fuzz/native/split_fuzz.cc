// Any superpacket that the kernel might pass: its parts are complete, correct, and have the same contents together.
#include "../../../native/src/segment.h"

#include "harness.h"

using namespace hawser;
using namespace reference;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t mode = input.byte();
  VirtioHeader virtio;
  const Bytes header = input.bytes(sizeof virtio);
  if (header.size() < sizeof virtio) return 0;
  std::memcpy(&virtio, header.data(), sizeof virtio);
  Bytes bytes = input.rest();
  // Repeated payload turns short input into long superpackets.
  if (mode & 1) {
    const Bytes once = bytes;
    while (bytes.size() < 20000 && !once.empty()) bytes.insert(bytes.end(), once.begin(), once.end());
  }
  if (mode & 2 && bytes.size() >= 60) putBig16(&bytes[(bytes[0] >> 4) == 6 ? 4 : 2], static_cast<unsigned>(bytes.size() - ((bytes[0] >> 4) == 6 ? 40 : 0)));
  Superpacket packet;
  if (!readSuperpacket(bytes.data(), bytes.size(), virtio, packet)) return 0;
  const unsigned mtu = mode & 4 ? 1280 : 0;
  Splitter splitter(packet, mtu);
  if (splitter.count() > 1000) return 0;
  const PacketInfo& info = packet.info;
  const bool tcp = info.protocol == PROTOCOL_TCP;
  const size_t headers = packet.segmented() ? info.transport + (tcp ? (bytes[info.transport + 12] >> 4) * 4u : 8u) : 0;
  Bytes together;
  for (size_t index = 0; index < splitter.count(); index++) {
    Bytes out(splitter.longest());
    const size_t length = splitter.next(out.data());
    CHECK(length <= out.size() && length >= headers);
    if (packet.segmented()) {
      CHECK(checksumsRight(out.data(), length));
      PacketInfo part;
      CHECK(parsePacket(out.data(), length, part) && part.length == length);
      if (tcp) {
        const uint32_t sequence = loadBig32(&bytes[info.transport + 4]) + static_cast<uint32_t>(together.size());
        CHECK(loadBig32(&out[info.transport + 4]) == sequence);
        if (mtu > headers) CHECK(length <= mtu || virtio.segmentSize == 0);
      }
    }
    together.insert(together.end(), out.begin() + static_cast<long>(headers), out.begin() + static_cast<long>(length));
  }
  CHECK(together.size() == info.length - headers);
  if (packet.segmented()) CHECK(std::equal(together.begin(), together.end(), bytes.begin() + static_cast<long>(headers)));
  return 0;
}
