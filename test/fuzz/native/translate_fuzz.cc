// Translation of any packet: checksums stay correct, the data stays unchanged, and the reverse translation restores it.
#include "../../../native/src/translate.h"

#include "harness.h"

using namespace hawser;
using namespace reference;

namespace {

struct Pair {
  const char* left;
  const char* right;
};

AddressMap mapOf(std::initializer_list<Pair> pairs, bool back) {
  AddressMap map;
  PrefixMap prefixes;
  for (const Pair& pair : pairs) {
    const Prefix from = *parsePrefix(back ? pair.right : pair.left), to = *parsePrefix(back ? pair.left : pair.right);
    prefixes.set(from, static_cast<uint32_t>(map.mappings.size()));
    if (from.six)
      map.mappings.push_back({true, 0, 0, prefixMask<Address6>(from.length), to.sixteen});
    else
      map.mappings.push_back({false, prefixMask<Address4>(from.length), to.four, 0, 0});
  }
  map.table = prefixes.build();
  return map;
}

// Prefixes with few fixed bits, which the input matches often; the second map inverts the first.
TranslationMaps mapsOf(bool back) {
  return {mapOf({{"0.0.0.0/2", "64.0.0.0/2"}, {"::/2", "4000::/2"}}, back),
          mapOf({{"128.0.0.0/2", "192.0.0.0/2"}, {"8000::/2", "c000::/2"}}, back)};
}

/** Whether the packet's addresses are in the halves that the maps do not target, so that the inverse is unambiguous. */
bool unambiguous(const uint8_t* packet, const PacketInfo& info) {
  const uint8_t source = packet[info.sourceOffset()], destination = packet[info.destinationOffset()];
  return (source & 0xc0) != 0x40 && (destination & 0xc0) != 0xc0;
}

void translate(const TranslationMaps& maps, Bytes& packet, const PacketInfo& info) {
  rewritePacket(maps, mapAddresses(maps, packet.data(), info), packet.data(), info, false);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const TranslationMaps forth = mapsOf(false), back = mapsOf(true);
  if (size > 2048) return 0;
  Input input(data, size);
  const uint8_t mode = input.byte();
  Bytes packet = input.rest();
  if (mode & 1) repair(packet);
  PacketInfo info;
  if (!parsePacket(packet.data(), packet.size(), info)) return 0;
  const Bytes original = packet;
  if (mode & 2) clampMss(packet.data(), info, 1280, false);
  const bool right = checksumsRight(packet.data(), packet.size());
  if (mode & 2) {
    CHECK(right == checksumsRight(original.data(), original.size()));
    return 0;
  }
  translate(forth, packet, info);
  PacketInfo after;
  CHECK(parsePacket(packet.data(), packet.size(), after));
  CHECK(after.transport == info.transport && after.protocol == info.protocol && after.length == info.length);
  if (right) CHECK(checksumsRight(packet.data(), packet.size()));
  if (info.laterFragment)
    CHECK(std::memcmp(&packet[0] + info.transport, &original[0] + info.transport, info.length - info.transport) == 0);
  // Bytes after the packet's own length must not change.
  CHECK(std::equal(packet.begin() + info.length, packet.end(), original.begin() + info.length));
  PacketInfo quoted;
  if (isIcmpError(original.data(), info)) {
    const size_t at = info.transport + 8;
    if (!parseQuoted(&original[at], info.length - at, quoted)) return 0;
    const uint8_t* inside = original.data() + at;
    // The quoted packet's source is translated like a destination, and vice versa.
    if ((inside[quoted.sourceOffset()] & 0xc0) == 0xc0 || (inside[quoted.destinationOffset()] & 0xc0) == 0x40) return 0;
  }
  if (!unambiguous(original.data(), info)) return 0;
  translate(back, packet, info);
  CHECK(sameButZeros(packet, original));
  return 0;
}
