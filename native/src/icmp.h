// ICMP errors that the engine sends, like a router.
#pragma once

#include "packet.h"

namespace hawser {

enum class IcmpError : uint8_t { TOO_BIG, TIME_EXCEEDED };

/** The longest error: ICMPv6 fills up to 1,280 bytes (RFC 4443, section 2.4), ICMP to 576 (RFC 1812, section 4.3.2.3). */
constexpr size_t LONGEST_ICMP = 1280;

/**
 * Writes the error about `packet` to `to` (LONGEST_ICMP bytes); returns its length, or 0 where none may be sent: about an
 * error, about a later fragment, or to or from a group (RFC 1122, section 3.2.2). Its source is the packet's destination,
 * since the engine has no address of its own and every return route uses the same path.
 */
size_t buildIcmpError(uint8_t* to, IcmpError error, const uint8_t* packet, const PacketInfo& info, unsigned mtu);

}  // namespace hawser
