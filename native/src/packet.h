// Parsing of IP packets: the positions of their headers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace hawser {

constexpr uint8_t PROTOCOL_ICMP = 1;
constexpr uint8_t PROTOCOL_TCP = 6;
constexpr uint8_t PROTOCOL_UDP = 17;
constexpr uint8_t PROTOCOL_DCCP = 33;
constexpr uint8_t PROTOCOL_ICMPV6 = 58;
constexpr uint8_t PROTOCOL_UDPLITE = 136;

constexpr uint8_t TCP_FIN = 0x01;
constexpr uint8_t TCP_SYN = 0x02;
constexpr uint8_t TCP_PSH = 0x08;
constexpr uint8_t TCP_ACK = 0x10;
constexpr uint8_t TCP_CWR = 0x80;

struct PacketInfo {
  bool six = false;
  /** Any fragment, including the first. */
  bool fragment = false;
  /** A fragment without the transport header. */
  bool laterFragment = false;
  bool dontFragment = false;
  uint8_t protocol = 0;
  /** Where the transport header starts (or, in a later fragment, its data). */
  uint16_t transport = 0;
  /** Length in the IP header; bytes after it are padding. */
  uint32_t length = 0;

  unsigned addressLength() const { return six ? 16 : 4; }
  unsigned sourceOffset() const { return six ? 8 : 12; }
  unsigned destinationOffset() const { return six ? 24 : 16; }
};

/**
 * Parses the headers of a packet of `available` bytes. False: malformed, or a known attack (a first fragment too short for its
 * transport header, RFC 1858; a routing header with segments left, RFC 5095; a source route, RFC 7126, section 4).
 */
bool parsePacket(const uint8_t* packet, size_t available, PacketInfo& info);

/**
 * The same for the packet quoted by an ICMP error: it may be truncated anywhere after its IP header; `length` is the number of
 * available bytes. False: too short to translate.
 */
bool parseQuoted(const uint8_t* packet, size_t available, PacketInfo& info);

/** Position of the checksum over the pseudo-header, relative to the transport header; 0 if the protocol has none. */
unsigned checksumOffset(uint8_t protocol);

/** Equal for all packets of a flow, including fragments of one datagram. */
uint32_t flowHash(const uint8_t* packet, const PacketInfo& info);

}  // namespace hawser
