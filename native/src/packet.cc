#include "packet.h"

#include "prefix_table.h"

namespace hawser {

namespace {

// Limit on extension headers, as RFC 8504, section 5.3, allows.
constexpr int MAXIMUM_EXTENSIONS = 8;

constexpr uint8_t HOP_BY_HOP = 0;
constexpr uint8_t ROUTING = 43;
constexpr uint8_t FRAGMENT = 44;
constexpr uint8_t DESTINATION_OPTIONS = 60;

constexpr uint8_t OPTION_END = 0;
constexpr uint8_t OPTION_NOTHING = 1;
constexpr uint8_t LOOSE_SOURCE_ROUTE = 131;
constexpr uint8_t STRICT_SOURCE_ROUTE = 137;

// Whether the options of an IPv4 header route the packet past its destination, or cannot be read.
bool isSourceRouted(const uint8_t* packet, unsigned header) {
  for (unsigned at = 20; at < header && packet[at] != OPTION_END;) {
    if (packet[at] == LOOSE_SOURCE_ROUTE || packet[at] == STRICT_SOURCE_ROUTE) return true;
    if (packet[at] == OPTION_NOTHING) {
      at++;
      continue;
    }
    if (at + 1 == header || packet[at + 1] < 2 || packet[at + 1] > header - at) return true;
    at += packet[at + 1];
  }
  return false;
}

bool parse4(const uint8_t* packet, size_t available, bool quoted, PacketInfo& info) {
  if (available < 20) return false;
  const unsigned header = (packet[0] & 15u) * 4;
  const unsigned total = loadBig16(packet + 2);
  if (header < 20 || header > available || total < header) return false;
  if (!quoted && (total > available || (header > 20 && isSourceRouted(packet, header)))) return false;
  const uint16_t flags = loadBig16(packet + 6);
  info.six = false;
  info.fragment = (flags & 0x3fff) != 0;
  info.laterFragment = (flags & 0x1fff) != 0;
  info.dontFragment = (flags & 0x4000) != 0;
  info.protocol = packet[9];
  info.transport = static_cast<uint16_t>(header);
  info.length = total < available ? total : static_cast<uint32_t>(available);
  return true;
}

bool parse6(const uint8_t* packet, size_t available, bool quoted, PacketInfo& info) {
  if (available < 40) return false;
  const size_t total = size_t{40} + loadBig16(packet + 4);
  if (!quoted && total > available) return false;
  const size_t end = total < available ? total : available;
  info.six = true;
  info.fragment = info.laterFragment = false;
  info.dontFragment = true;
  info.length = static_cast<uint32_t>(end);
  uint8_t next = packet[6];
  size_t at = 40;
  for (int count = 0; count < MAXIMUM_EXTENSIONS; count++) {
    if (next != HOP_BY_HOP && next != ROUTING && next != FRAGMENT && next != DESTINATION_OPTIONS) {
      info.protocol = next;
      info.transport = static_cast<uint16_t>(at);
      return true;
    }
    if (at + 8 > end) {
      // A quoted packet may be truncated here; its addresses can still be translated.
      if (!quoted) return false;
      info.protocol = next;
      info.laterFragment = true;
      info.transport = static_cast<uint16_t>(at);
      return true;
    }
    if (next == ROUTING && packet[at + 3] != 0) return false;
    if (next == FRAGMENT) {
      info.fragment = true;
      info.laterFragment = (loadBig16(packet + at + 2) & 0xfff8) != 0;
      next = packet[at];
      at += 8;
      if (info.laterFragment) {
        info.protocol = next;
        info.transport = static_cast<uint16_t>(at);
        return true;
      }
      continue;
    }
    next = packet[at];
    at += (size_t{packet[at + 1]} + 1) * 8;
    if (at > end) {
      if (!quoted) return false;
      at = end;
    }
  }
  return false;
}

unsigned minimumTransport(uint8_t protocol) {
  switch (protocol) {
    case PROTOCOL_TCP:
      return 20;
    case PROTOCOL_DCCP:
      return 12;
    case PROTOCOL_UDP:
    case PROTOCOL_UDPLITE:
    case PROTOCOL_ICMP:
      return 8;
    case PROTOCOL_ICMPV6:
      return 4;
    default:
      return 0;
  }
}

}  // namespace

bool parsePacket(const uint8_t* packet, size_t available, PacketInfo& info) {
  if (available == 0) return false;
  const unsigned version = packet[0] >> 4;
  if (version == 4 ? !parse4(packet, available, false, info)
                   : version != 6 || !parse6(packet, available, false, info))
    return false;
  if (info.laterFragment) return true;
  if (info.length - info.transport < minimumTransport(info.protocol)) return false;
  if (info.protocol == PROTOCOL_TCP) {
    const unsigned header = (packet[info.transport + 12] >> 4) * 4u;
    if (header < 20 || header > info.length - info.transport) return false;
  }
  return true;
}

bool parseQuoted(const uint8_t* packet, size_t available, PacketInfo& info) {
  if (available == 0) return false;
  const unsigned version = packet[0] >> 4;
  if (version == 4) return parse4(packet, available, true, info);
  return version == 6 && parse6(packet, available, true, info);
}

unsigned checksumOffset(uint8_t protocol) {
  switch (protocol) {
    case PROTOCOL_TCP:
      return 16;
    case PROTOCOL_UDP:
    case PROTOCOL_UDPLITE:
    case PROTOCOL_DCCP:
      return 6;
    case PROTOCOL_ICMPV6:
      return 2;
    default:
      return 0;
  }
}

uint32_t flowHash(const uint8_t* packet, const PacketInfo& info) {
  const uint8_t* source = packet + info.sourceOffset();
  uint64_t hash = info.protocol;
  for (unsigned at = 0; at < info.addressLength() * 2; at += 4)
    hash = (hash ^ load<uint32_t>(source + at)) * 0x9e3779b97f4a7c15u;
  const bool ports = info.protocol == PROTOCOL_TCP || info.protocol == PROTOCOL_UDP;
  if (ports && !info.fragment) hash = (hash ^ load<uint32_t>(packet + info.transport)) * 0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(hash >> 32);
}

}  // namespace hawser
