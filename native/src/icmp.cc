#include "icmp.h"

#include <algorithm>

#include "checksum.h"
#include "translate.h"

namespace hawser {

namespace {

bool isGroup(const uint8_t* address, bool six) {
  // Multicast, broadcast and unspecified addresses.
  if (six) return address[0] == 0xff || (load<uint64_t>(address) == 0 && load<uint64_t>(address + 8) == 0);
  return address[0] >= 224 || address[0] == 0;
}

}  // namespace

size_t buildIcmpError(uint8_t* to, IcmpError error, const uint8_t* packet, const PacketInfo& info, unsigned mtu) {
  if (info.laterFragment || isIcmpError(packet, info)) return 0;
  const uint8_t* source = packet + info.sourceOffset();
  const uint8_t* destination = packet + info.destinationOffset();
  if (isGroup(source, info.six) || isGroup(destination, info.six)) return 0;
  const size_t header = info.six ? 40 : 20;
  const size_t limit = (info.six ? size_t{1280} : size_t{576}) - header - 8;
  const size_t quoted = std::min<size_t>(info.length, limit);
  const size_t total = header + 8 + quoted;
  std::memset(to, 0, header + 8);
  uint8_t* icmp = to + header;
  if (info.six) {
    to[0] = 0x60;
    storeBig16(to + 4, static_cast<uint16_t>(8 + quoted));
    to[6] = PROTOCOL_ICMPV6;
    to[7] = 64;
    std::memcpy(to + 8, destination, 16);
    std::memcpy(to + 24, source, 16);
    icmp[0] = error == IcmpError::TOO_BIG ? 2 : 3;
    if (error == IcmpError::TOO_BIG) storeBig32(icmp + 4, mtu);
  } else {
    to[0] = 0x45;
    storeBig16(to + 2, static_cast<uint16_t>(total));
    to[8] = 64;
    to[9] = PROTOCOL_ICMP;
    std::memcpy(to + 12, destination, 4);
    std::memcpy(to + 16, source, 4);
    store<uint16_t>(to + 10, static_cast<uint16_t>(~foldSum(sumBytes(to, 20))));
    icmp[0] = error == IcmpError::TOO_BIG ? 3 : 11;
    icmp[1] = error == IcmpError::TOO_BIG ? 4 : 0;
    if (error == IcmpError::TOO_BIG) storeBig16(icmp + 6, static_cast<uint16_t>(mtu));
  }
  std::memcpy(icmp + 8, packet, quoted);
  uint64_t sum = sumBytes(icmp, 8 + quoted);
  if (info.six) sum += sumPseudoHeader(to + 8, 32, PROTOCOL_ICMPV6, static_cast<uint32_t>(8 + quoted));
  store<uint16_t>(icmp + 2, static_cast<uint16_t>(~foldSum(sum)));
  return total;
}

}  // namespace hawser
