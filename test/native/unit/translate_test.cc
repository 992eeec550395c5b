// Translation: mapped addresses, correct checksums, and identical bytes after both directions.
#include "../../../native/src/translate.h"

#include "reference.h"
#include "tests.h"

using namespace hawser;
using namespace reference;

namespace {

Prefix prefixOf(const char* text) {
  const auto prefix = parsePrefix(text);
  CHECK(prefix);
  return *prefix;
}

AddressMap mapOf(std::initializer_list<std::pair<const char*, const char*>> pairs) {
  AddressMap map;
  PrefixMap prefixes;
  for (const auto& [from, to] : pairs) {
    const Prefix left = prefixOf(from), right = prefixOf(to);
    prefixes.set(left, static_cast<uint32_t>(map.mappings.size()));
    if (left.six)
      map.mappings.push_back({true, 0, 0, prefixMask<Address6>(left.length), right.sixteen});
    else
      map.mappings.push_back({false, prefixMask<Address4>(left.length), right.four, 0, 0});
  }
  map.table = prefixes.build();
  return map;
}

void translate(const TranslationMaps& maps, Bytes& packet) {
  PacketInfo info;
  CHECK(parsePacket(packet.data(), packet.size(), info));
  rewritePacket(maps, mapAddresses(maps, packet.data(), info), packet.data(), info, false);
}

void address4(const char* text, uint8_t* to) { CHECK(inet_pton(AF_INET, text, to) == 1); }
void address6(const char* text, uint8_t* to) { CHECK(inet_pton(AF_INET6, text, to) == 1); }

}  // namespace

void testTranslate() {
  // Outgoing from A: A knows B's 10.1/16 as 10.2/16, and B knows A's as 10.1/16.
  const TranslationMaps out{{}, mapOf({{"10.2.0.0/16", "10.1.0.0/16"}, {"fd00:2::/64", "fd00:1::/64"}})};
  const TranslationMaps back{{}, mapOf({{"10.1.0.0/16", "10.2.0.0/16"}, {"fd00:1::/64", "fd00:2::/64"}})};
  const TranslationMaps both{mapOf({{"10.7.0.0/16", "192.168.0.0/16"}, {"fd00:7::/64", "fd00:99::/64"}}),
                             mapOf({{"10.2.0.0/16", "172.16.0.0/16"}, {"fd00:2::/64", "fd00:8::/64"}})};
  const TranslationMaps unboth{mapOf({{"192.168.0.0/16", "10.7.0.0/16"}, {"fd00:99::/64", "fd00:7::/64"}}),
                               mapOf({{"172.16.0.0/16", "10.2.0.0/16"}, {"fd00:8::/64", "fd00:2::/64"}})};
  Random random(1);
  for (int round = 0; round < 20000; round++) {
    PacketKind kind;
    kind.six = random.chance(50);
    const uint8_t protocols[] = {PROTOCOL_TCP, PROTOCOL_UDP, kind.six ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP, PROTOCOL_UDPLITE, 47};
    kind.protocol = protocols[random.below(5)];
    kind.payload = random.below(random.chance(10) ? 1400 : 60);
    kind.udpWithoutChecksum = kind.protocol == PROTOCOL_UDP && !kind.six && random.chance(30);
    kind.fragment = random.chance(30) ? static_cast<int>(1 + random.below(2)) : 0;
    if (kind.fragment != 0 && kind.protocol == PROTOCOL_UDPLITE) kind.protocol = PROTOCOL_UDP;
    uint8_t source[16], destination[16], expected[16];
    if (kind.six) {
      address6("fd00:7::", source);
      address6("fd00:2::", destination);
      address6("fd00:8::", expected);
      for (int at = 8; at < 16; at++) {
        source[at] = static_cast<uint8_t>(random.next());
        expected[at] = destination[at] = static_cast<uint8_t>(random.next());
      }
    } else {
      address4("10.7.0.0", source);
      address4("10.2.0.0", destination);
      address4("172.16.0.0", expected);
      for (int at = 2; at < 4; at++) {
        source[at] = static_cast<uint8_t>(random.next());
        expected[at] = destination[at] = static_cast<uint8_t>(random.next());
      }
    }
    Bytes packet = makePacket(random, kind, source, destination);
    // An error about a packet of the opposite direction, from `destination` to `source`.
    if (kind.fragment == 0 && random.chance(30)) {
      const Bytes quoted = makePacket(random, kind, destination, source);
      packet = makeError(quoted, kind.six, source, destination, random.below(quoted.size()) + (kind.six ? 48 : 28));
    }
    const Bytes original = packet;
    translate(both, packet);
    CHECK(std::memcmp(&packet[kind.six ? 24 : 16], expected, kind.six ? 16 : 4) == 0);
    CHECK(checksumsRight(packet.data(), packet.size()));
    PacketInfo info;
    CHECK(parsePacket(packet.data(), packet.size(), info));
    if (isIcmpError(packet.data(), info)) {
      const uint8_t* quoted = packet.data() + info.transport + 8;
      CHECK(std::memcmp(quoted + (kind.six ? 8 : 12), expected, kind.six ? 16 : 4) == 0);
      CHECK(kind.six || headerChecksumRight(quoted));
    }
    if (kind.fragment == 1 && checksumOffset(kind.protocol) != 0 && !kind.udpWithoutChecksum) {
      // The datagram's checksum covers data that isn't here: it must change only by the addresses.
      Bytes whole = original;
      PacketInfo first;
      CHECK(parsePacket(whole.data(), whole.size(), first));
      const unsigned field = first.transport + checksumOffset(kind.protocol);
      CHECK(big16(&packet[field]) != 0 || kind.protocol != PROTOCOL_UDP);
    }
    translate(unboth, packet);
    CHECK(packet == original);
    translate(out, packet);
    CHECK(checksumsRight(packet.data(), packet.size()));
    translate(back, packet);
    CHECK(packet == original);
  }
}

void testMss() {
  Random random(2);
  for (int round = 0; round < 5000; round++) {
    PacketKind kind;
    kind.six = random.chance(50);
    kind.protocol = PROTOCOL_TCP;
    kind.payload = 0;
    uint8_t source[16] = {10, 1, 2, 3}, destination[16] = {10, 4, 5, 6};
    Bytes packet = makePacket(random, kind, source, destination);
    PacketInfo info;
    CHECK(parsePacket(packet.data(), packet.size(), info));
    const size_t options = ((packet[info.transport + 12] >> 4) - 5) * 4u;
    packet[info.transport + 13] = TCP_SYN;
    unsigned place = 0;
    const auto mss = static_cast<unsigned>(random.below(10000));
    if (options >= 4) {
      // At any offset, including odd ones, after padding of one byte each.
      place = info.transport + 20 + static_cast<unsigned>(random.below(options - 3));
      packet[place] = 2;
      packet[place + 1] = 4;
      putBig16(&packet[place + 2], mss);
    }
    finishChecksums(packet);
    const bool changed = clampMss(packet.data(), info, 1400, false);
    const unsigned limit = kind.six ? 1340 : 1360;
    CHECK(changed == (place != 0 && mss > limit));
    if (place != 0) CHECK(big16(&packet[place + 2]) == std::min(mss, limit));
    CHECK(checksumsRight(packet.data(), packet.size()));
    const bool more = decrementHops(packet.data(), info);
    CHECK(more && packet[kind.six ? 7 : 8] == 63 && checksumsRight(packet.data(), packet.size()));
    packet[kind.six ? 7 : 8] = 1;
    CHECK(!decrementHops(packet.data(), info));
  }
}
