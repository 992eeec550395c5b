#include "translate.h"

#include "checksum.h"
#include "plant.h"

namespace hawser {

bool AddressMap::map(bool six, const uint8_t* from, uint8_t* to) const {
  if (mappings.empty()) return false;
  const uint32_t index = table.find(six, from);
  if (index == NO_VALUE) return false;
  const Mapping& mapping = mappings[index];
  if (six)
    storeAddress6(to, (loadAddress6(from) & ~mapping.mask6) | mapping.to6);
  else
    storeAddress4(to, (loadAddress4(from) & ~mapping.mask4) | mapping.to4);
  return true;
}

namespace {

NewAddresses mapBoth(const AddressMap& source, const AddressMap& destination, const uint8_t* packet,
                     const PacketInfo& info) {
  NewAddresses result;
  const unsigned length = info.addressLength();
  std::memcpy(result.bytes, packet + info.sourceOffset(), length * 2);
  result.changed = source.map(info.six, packet + info.sourceOffset(), result.bytes);
  result.changed |= destination.map(info.six, packet + info.destinationOffset(), result.bytes + length);
  return result;
}

void updateField(uint8_t* field, uint64_t difference) {
  store<uint16_t>(field, updateChecksum(load<uint16_t>(field), difference));
}

/** Corrects the transport checksum; returns the difference for an enclosing checksum. */
uint64_t updateTransport(uint8_t* packet, const PacketInfo& info, uint64_t difference, bool partial) {
  if (info.laterFragment && !HAWSER_PLANTED(2)) return 0;
  const unsigned offset = checksumOffset(info.protocol);
  if (offset == 0 || info.transport + offset + 2 > info.length) return 0;
  uint8_t* field = packet + info.transport + offset;
  const auto before = load<uint16_t>(field);
  uint16_t after;
  if (partial) {
    after = updatePartialSum(before, difference);
  } else if (info.protocol == PROTOCOL_UDP) {
    // Zero means "no checksum" (RFC 768); a computed zero is sent as all ones.
    if (before == 0 && !HAWSER_PLANTED(1)) return 0;
    after = updateChecksum(before, difference);
    if (after == 0) after = 0xffff;
  } else {
    after = updateChecksum(before, difference);
  }
  store<uint16_t>(field, after);
  return sumDifference16(before, after);
}

/** Translates the packet quoted by an ICMP error; returns the difference for the ICMP checksum. */
uint64_t rewriteQuoted(const TranslationMaps& maps, uint8_t* quoted, size_t available) {
  PacketInfo info;
  if (!parseQuoted(quoted, available, info)) return 0;
  const NewAddresses addresses = mapBoth(maps.destination, maps.source, quoted, info);
  if (!addresses.changed) return 0;
  uint8_t* at = quoted + info.sourceOffset();
  const uint64_t difference = sumDifference(at, addresses.bytes, info.addressLength() * 2);
  std::memcpy(at, addresses.bytes, info.addressLength() * 2);
  uint64_t total = difference;
  if (!info.six) {
    const auto before = load<uint16_t>(quoted + 10);
    updateField(quoted + 10, difference);
    if (!HAWSER_PLANTED(3)) total += sumDifference16(before, load<uint16_t>(quoted + 10));
  }
  return total + updateTransport(quoted, info, difference, false);
}

}  // namespace

NewAddresses mapAddresses(const TranslationMaps& maps, const uint8_t* packet, const PacketInfo& info) {
  return mapBoth(maps.source, maps.destination, packet, info);
}

bool isIcmpError(const uint8_t* packet, const PacketInfo& info) {
  if (info.laterFragment || info.transport + 8u > info.length) return false;
  const uint8_t type = packet[info.transport];
  // RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem; RFC 4443: below 128 is an error.
  if (info.protocol == PROTOCOL_ICMP && !info.six) return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
  return info.protocol == PROTOCOL_ICMPV6 && info.six && type < 128;
}

void rewritePacket(const TranslationMaps& maps, const NewAddresses& addresses, uint8_t* packet, const PacketInfo& info,
                   bool partialChecksum) {
  const bool error = isIcmpError(packet, info);
  if (!addresses.changed && !error) return;
  uint8_t* at = packet + info.sourceOffset();
  const uint64_t difference = sumDifference(at, addresses.bytes, info.addressLength() * 2);
  std::memcpy(at, addresses.bytes, info.addressLength() * 2);
  if (!info.six) updateField(packet + 10, difference);
  if (addresses.changed) updateTransport(packet, info, difference, partialChecksum);
  if (!error) return;
  const uint64_t inside =
      rewriteQuoted(maps, packet + info.transport + 8, info.length - info.transport - 8);
  if (inside != 0 && !partialChecksum) updateField(packet + info.transport + 2, inside);
}

bool clampMss(uint8_t* packet, const PacketInfo& info, unsigned mtu, bool partialChecksum) {
  if (info.protocol != PROTOCOL_TCP || info.laterFragment) return false;
  uint8_t* tcp = packet + info.transport;
  if ((tcp[13] & TCP_SYN) == 0) return false;
  const unsigned headers = (info.six ? 40u : 20u) + 20u;
  if (mtu <= headers) return false;
  const unsigned limit = mtu - headers;
  const unsigned end = (tcp[12] >> 4) * 4u;
  for (unsigned at = 20; at < end;) {
    if (tcp[at] == 0) return false;
    if (tcp[at] == 1) {
      at++;
      continue;
    }
    if (at + 1 >= end || tcp[at + 1] < 2 || at + tcp[at + 1] > end) return false;
    if (tcp[at] == 2 && tcp[at + 1] == 4) {
      if (loadBig16(tcp + at + 2) <= limit) return false;
      // The option may start at an odd offset, where its bytes span two words of the sum: use the words around it.
      const unsigned first = (at + 2) & ~1u;
      const unsigned words = ((at + 2) & 1) ? 4 : 2;
      uint8_t before[4];
      std::memcpy(before, tcp + first, words);
      storeBig16(tcp + at + 2, static_cast<uint16_t>(limit));
      if (!partialChecksum) updateField(tcp + 16, sumDifference(before, tcp + first, words));
      return true;
    }
    at += tcp[at + 1];
  }
  return false;
}

bool decrementHops(uint8_t* packet, const PacketInfo& info) {
  if (info.six) {
    if (packet[7] <= 1) return false;
    packet[7]--;
    return true;
  }
  if (packet[8] <= 1) return false;
  const auto before = load<uint16_t>(packet + 8);
  packet[8]--;
  updateField(packet + 10, sumDifference16(before, load<uint16_t>(packet + 8)));
  return true;
}

}  // namespace hawser
