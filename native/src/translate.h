// Stateless address translation: prefixes are exchanged, host parts kept, every checksum stays right.
#pragma once

#include <vector>

#include "packet.h"
#include "prefix_table.h"

namespace hawser {

/** Mappings of one of a packet's two addresses; an address that none covers stays. */
struct AddressMap {
  struct Mapping {
    bool six;
    Address4 mask4, to4;
    Address6 mask6, to6;
  };
  PrefixTable table;
  std::vector<Mapping> mappings;

  bool empty() const { return mappings.empty(); }
  /** Writes the mapped address (4 or 16 bytes) to `to`; false, and nothing written: it stays as it is. */
  bool map(bool six, const uint8_t* from, uint8_t* to) const;
};

struct TranslationMaps {
  AddressMap source, destination;

  bool empty() const { return source.empty() && destination.empty(); }
};

/** A packet's addresses as they will be: found first, so that admission can be asked before anything is written. */
struct NewAddresses {
  bool changed = false;
  /** Source then destination, as they lie in the header: 8 or 32 bytes. */
  uint8_t bytes[32];
};

NewAddresses mapAddresses(const TranslationMaps& maps, const uint8_t* packet, const PacketInfo& info);

/**
 * Writes the addresses and corrects the checksums (RFC 1624). The packet that an ICMP error quotes travelled the other
 * way, so its source is mapped as destinations are, and the other way round (RFC 5508, section 4.2).
 * @param partialChecksum the transport checksum field holds the pseudo-header's sum (VIRTIO_NET_HDR_F_NEEDS_CSUM)
 */
void rewritePacket(const TranslationMaps& maps, const NewAddresses& addresses, uint8_t* packet, const PacketInfo& info,
                   bool partialChecksum);

/** Whether the packet is an ICMP or ICMPv6 error, which quotes a packet. */
bool isIcmpError(const uint8_t* packet, const PacketInfo& info);

/** Lowers the MSS that a SYN announces to what fits `mtu`; anything but a SYN stays. True: changed. */
bool clampMss(uint8_t* packet, const PacketInfo& info, unsigned mtu, bool partialChecksum);

/** One hop less. False: it was the last one (nothing is changed). */
bool decrementHops(uint8_t* packet, const PacketInfo& info);

}  // namespace hawser
