// Slow and simple reference implementations of the engine's functions, and random packets.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../../native/src/packet.h"

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);    \
      std::abort();                                                                   \
    }                                                                                 \
  } while (false)

namespace reference {

using Bytes = std::vector<uint8_t>;

/** A reproducible source of numbers (xorshift64*). */
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  /** Below `limit`. */
  uint64_t below(uint64_t limit) { return (next() >> 11) % limit; }
  bool chance(unsigned percent) { return below(100) < percent; }

 private:
  uint64_t state_;
};

/** RFC 1071 word by word, in network order. */
inline uint32_t slowSum(const uint8_t* data, size_t length, uint32_t sum = 0) {
  for (size_t at = 0; at < length; at++) {
    sum += at % 2 == 0 ? static_cast<uint32_t>(data[at]) << 8 : data[at];
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return sum;
}

inline uint32_t slowPseudo(const uint8_t* packet, bool six, uint8_t protocol, uint32_t length) {
  uint8_t header[40] = {};
  const size_t size = six ? 32 : 8;
  std::memcpy(header, packet + (six ? 8 : 12), size);
  header[size] = static_cast<uint8_t>(length >> 24);
  header[size + 1] = static_cast<uint8_t>(length >> 16);
  header[size + 2] = static_cast<uint8_t>(length >> 8);
  header[size + 3] = static_cast<uint8_t>(length);
  header[size + 7] = protocol;
  return slowSum(header, size + 8);
}

/** The correct transport checksum of a complete packet; network order. */
inline uint16_t slowTransportChecksum(const uint8_t* packet, const hawser::PacketInfo& info) {
  const uint32_t length = info.length - info.transport;
  Bytes copy(packet + info.transport, packet + info.length);
  const unsigned field = info.protocol == hawser::PROTOCOL_ICMP ? 2 : hawser::checksumOffset(info.protocol);
  copy[field] = copy[field + 1] = 0;
  const uint32_t pseudo = info.protocol == hawser::PROTOCOL_ICMP ? 0 : slowPseudo(packet, info.six, info.protocol, length);
  auto checksum = static_cast<uint16_t>(~slowSum(copy.data(), copy.size(), pseudo));
  if (checksum == 0 && info.protocol == hawser::PROTOCOL_UDP) checksum = 0xffff;
  return checksum;
}

inline uint16_t big16(const uint8_t* at) { return static_cast<uint16_t>(at[0] << 8 | at[1]); }
inline void putBig16(uint8_t* at, unsigned value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

inline bool headerChecksumRight(const uint8_t* packet) { return slowSum(packet, (packet[0] & 15u) * 4) == 0xffff; }

/** Whether every checksum of a packet is correct: of the header, of the transport, and of the header of a quoted packet. */
inline bool checksumsRight(const uint8_t* packet, size_t length) {
  hawser::PacketInfo info;
  if (!hawser::parsePacket(packet, length, info)) return false;
  if (!info.six && !headerChecksumRight(packet)) return false;
  if (info.fragment) return true;
  const bool icmp = info.protocol == hawser::PROTOCOL_ICMP;
  const unsigned offset = icmp ? 2 : hawser::checksumOffset(info.protocol);
  if (offset == 0) return true;
  const uint16_t found = big16(packet + info.transport + offset);
  if (info.protocol == hawser::PROTOCOL_UDP && found == 0) return !info.six;
  return found == slowTransportChecksum(packet, info);
}

struct PacketKind {
  bool six = false;
  uint8_t protocol = hawser::PROTOCOL_UDP;
  bool udpWithoutChecksum = false;
  /** 0 complete, 1 first fragment, 2 later fragment. */
  int fragment = 0;
  size_t payload = 100;
};

inline void finishChecksums(Bytes& packet) {
  hawser::PacketInfo info;
  CHECK(hawser::parsePacket(packet.data(), packet.size(), info));
  if (!info.six) {
    putBig16(&packet[10], 0);
    putBig16(&packet[10], static_cast<uint16_t>(~slowSum(packet.data(), info.transport)));
  }
  const unsigned offset = info.protocol == hawser::PROTOCOL_ICMP ? 2 : hawser::checksumOffset(info.protocol);
  if (info.laterFragment || offset == 0) return;
  putBig16(&packet[info.transport + offset], slowTransportChecksum(packet.data(), info));
}

/** A packet of a kind with random contents; source and destination have 4 or 16 bytes. */
inline Bytes makePacket(Random& random, const PacketKind& kind, const uint8_t* source, const uint8_t* destination) {
  using namespace hawser;
  Bytes transport;
  switch (kind.protocol) {
    case PROTOCOL_TCP: {
      const size_t options = random.below(4) * 4;
      transport.resize(20 + options);
      for (uint8_t& byte : transport) byte = static_cast<uint8_t>(random.next());
      transport[12] = static_cast<uint8_t>((5 + options / 4) << 4);
      transport[13] = TCP_ACK;
      for (size_t at = 20; at < transport.size(); at++) transport[at] = 1;
      break;
    }
    case PROTOCOL_UDP:
    case PROTOCOL_UDPLITE:
      transport.resize(8);
      for (uint8_t& byte : transport) byte = static_cast<uint8_t>(random.next());
      putBig16(&transport[4], static_cast<unsigned>(8 + kind.payload));
      break;
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6:
      transport.resize(8);
      transport[0] = kind.six ? 128 : 8;
      break;
    default:
      transport.resize(8);
  }
  const size_t header = kind.six ? (kind.fragment != 0 ? 48 : 40) : 20;
  Bytes packet(header);
  if (kind.fragment == 2) transport.clear();
  packet.insert(packet.end(), transport.begin(), transport.end());
  for (size_t at = 0; at < kind.payload; at++) packet.push_back(static_cast<uint8_t>(random.next()));
  if (kind.six) {
    packet[0] = 0x60;
    putBig16(&packet[4], static_cast<unsigned>(packet.size() - 40));
    packet[6] = kind.protocol;
    packet[7] = 64;
    std::memcpy(&packet[8], source, 16);
    std::memcpy(&packet[24], destination, 16);
    if (kind.fragment != 0) {
      packet[6] = 44;
      packet[40] = kind.protocol;
      putBig16(&packet[42], kind.fragment == 1 ? 1 : 1480);
    }
  } else {
    packet[0] = 0x45;
    putBig16(&packet[2], static_cast<unsigned>(packet.size()));
    putBig16(&packet[4], static_cast<unsigned>(random.below(65536)));
    putBig16(&packet[6], kind.fragment == 0 ? 0x4000 : kind.fragment == 1 ? 0x2000 : 185);
    packet[8] = 64;
    packet[9] = kind.protocol;
    std::memcpy(&packet[12], source, 4);
    std::memcpy(&packet[16], destination, 4);
  }
  finishChecksums(packet);
  if (kind.udpWithoutChecksum && kind.fragment != 2) putBig16(&packet[header + 6], 0);
  return packet;
}

/** An ICMP error that quotes `quoted` (truncated to `keep` bytes). */
inline Bytes makeError(const Bytes& quoted, bool six, const uint8_t* source, const uint8_t* destination, size_t keep) {
  Bytes packet(six ? 48 : 28);
  packet.insert(packet.end(), quoted.begin(), quoted.begin() + static_cast<long>(std::min(keep, quoted.size())));
  if (six) {
    packet[0] = 0x60;
    putBig16(&packet[4], static_cast<unsigned>(packet.size() - 40));
    packet[6] = hawser::PROTOCOL_ICMPV6;
    packet[7] = 64;
    std::memcpy(&packet[8], source, 16);
    std::memcpy(&packet[24], destination, 16);
    packet[40] = 1;
  } else {
    packet[0] = 0x45;
    putBig16(&packet[2], static_cast<unsigned>(packet.size()));
    packet[8] = 64;
    packet[9] = hawser::PROTOCOL_ICMP;
    std::memcpy(&packet[12], source, 4);
    std::memcpy(&packet[16], destination, 4);
    packet[20] = 3;
    packet[21] = 1;
  }
  finishChecksums(packet);
  return packet;
}

}  // namespace reference
