// Packets of one sender in any order and shape: merging and splitting them returns the same packets.
#include "../../../native/src/coalesce.h"

#include "harness.h"

using namespace hawser;
using namespace reference;

namespace {

/** A flow's next packet, chosen by the input: mostly consecutive, sometimes not. */
Bytes nextPacket(Input& input, bool six, bool tcp, bool dontFragment, uint32_t& sequence, unsigned& identification) {
  const uint8_t choice = input.byte();
  const size_t payload = 1 + (choice & 0x80 ? input.byte() : 64);
  const unsigned transport = six ? 40 : 20;
  Bytes packet(transport + (tcp ? 20 : 8) + payload);
  if (six) {
    packet[0] = 0x60;
    putBig16(&packet[4], static_cast<unsigned>(packet.size() - 40));
    packet[6] = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
    packet[7] = 64;
    packet[23] = 1;
    packet[39] = 2;
  } else {
    packet[0] = 0x45;
    putBig16(&packet[2], static_cast<unsigned>(packet.size()));
    putBig16(&packet[4], identification++ & 0xffff);
    packet[6] = dontFragment ? 0x40 : 0;
    packet[8] = 64;
    packet[9] = tcp ? PROTOCOL_TCP : PROTOCOL_UDP;
    packet[12] = packet[16] = 10;
  }
  uint8_t* at = &packet[transport];
  at[3] = 80;
  if (tcp) {
    putBig16(at + 4, sequence >> 16);
    putBig16(at + 6, sequence & 0xffff);
    at[12] = 0x50;
    at[13] = TCP_ACK;
    sequence += static_cast<uint32_t>(payload);
  } else {
    putBig16(at + 4, static_cast<unsigned>(8 + payload));
  }
  for (size_t index = 0; index < payload; index++) packet[packet.size() - 1 - index] = static_cast<uint8_t>(index * 31 + choice);
  // Any byte may be changed.
  if (choice & 0x40) packet[input.word() % packet.size()] ^= input.byte();
  if (tcp && choice & 0x20) at[13] |= TCP_PSH;
  if (choice & 0x10) sequence += input.byte();
  if (!(choice & 0x08)) repair(packet);
  packet.shrink_to_fit();
  return packet;
}

/** Clears fields that merging does not keep: a meaningless identification, and a PSH flag in the middle. */
void forget(Bytes& packet, const PacketInfo& info) {
  if (!info.six && info.dontFragment) putBig16(&packet[4], 0);
  if (info.protocol == PROTOCOL_TCP) packet[info.transport + 13] &= static_cast<uint8_t>(~TCP_PSH);
  finishChecksums(packet);
}

void verify(Merge& merge, std::vector<Bytes>& originals) {
  const VirtioHeader virtio = finishMerge(merge);
  Bytes merged;
  for (unsigned part = 1; part <= merge.parts; part++) {
    const auto* from = static_cast<const uint8_t*>(merge.vectors[part].iov_base);
    merged.insert(merged.end(), from, from + merge.vectors[part].iov_len);
  }
  Superpacket packet;
  CHECK(readSuperpacket(merged.data(), merged.size(), virtio, packet));
  Splitter splitter(packet, 0);
  CHECK(splitter.count() == originals.size());
  for (Bytes& original : originals) {
    Bytes out(splitter.longest());
    out.resize(splitter.next(out.data()));
    original.resize(std::min(original.size(), out.size()));
    PacketInfo info;
    CHECK(parsePacket(out.data(), out.size(), info));
    CHECK(checksumsRight(out.data(), out.size()));
    forget(out, info);
    CHECK(parsePacket(original.data(), original.size(), info));
    forget(original, info);
    CHECK(out == original);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t mode = input.byte();
  uint32_t sequence = 0xffffff00;
  unsigned identification = 0xfffe;
  const auto merge = std::make_unique<Merge>();
  std::vector<Bytes> packets, originals;
  bool open = false;
  for (int count = 0; count < 200 && input.left() > 0; count++) {
    packets.push_back(nextPacket(input, mode & 1, mode & 2, !(mode & 4), sequence, identification));
    Bytes& packet = packets.back();
    PacketInfo info;
    if (!parsePacket(packet.data(), packet.size(), info)) continue;
    const Bytes before(packet.begin(), packet.begin() + info.length);
    if (open && sameFlow(*merge, packet.data(), info) && extendMerge(*merge, packet.data(), info)) {
      CHECK(checksumsRight(before.data(), before.size()));
      originals.push_back(before);
      continue;
    }
    if (open) verify(*merge, originals);
    originals.clear();
    open = beginMerge(*merge, packet.data(), info, true);
    if (open) originals.push_back(before);
  }
  if (open) verify(*merge, originals);
  return 0;
}
