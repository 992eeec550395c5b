// Stateless address translation: prefixes are replaced, host parts kept, and all checksums updated.
#pragma once

#include <vector>

#include "packet.h"
#include "prefix_table.h"

namespace hawser {

/** Mappings of one of a packet's two addresses; an address without a mapping stays unchanged. */
struct AddressMap {
  struct Mapping {
    bool six;
    Address4 mask4, to4;
    Address6 mask6, to6;
  };
  PrefixTable table;
  std::vector<Mapping> mappings;

  bool empty() const { return mappings.empty(); }
  /** Writes the mapped address (4 or 16 bytes) to `to`; false, with nothing written, if it stays unchanged. */
  bool map(bool six, const uint8_t* from, uint8_t* to) const;
};

struct TranslationMaps {
  AddressMap source, destination;

  bool empty() const { return source.empty() && destination.empty(); }
};

/** A packet's translated addresses, computed first, so that admission is checked before the packet is changed. */
struct NewAddresses {
  bool changed = false;
  /** Source, then destination, as in the header: 8 or 32 bytes. */
  uint8_t bytes[32];
};

NewAddresses mapAddresses(const TranslationMaps& maps, const uint8_t* packet, const PacketInfo& info);

/**
 * Writes the addresses and corrects the checksums (RFC 1624). The packet quoted by an ICMP error travelled in the opposite
 * direction, so its source is mapped like a destination, and vice versa (RFC 5508, section 4.2).
 * @param partialChecksum the transport checksum field contains the pseudo-header's sum (VIRTIO_NET_HDR_F_NEEDS_CSUM)
 */
void rewritePacket(const TranslationMaps& maps, const NewAddresses& addresses, uint8_t* packet, const PacketInfo& info,
                   bool partialChecksum);

/** Whether the packet is an ICMP or ICMPv6 error, which quotes a packet. */
bool isIcmpError(const uint8_t* packet, const PacketInfo& info);

/** Lowers the MSS of a SYN to fit `mtu`; other packets stay unchanged. True: changed. */
bool clampMss(uint8_t* packet, const PacketInfo& info, unsigned mtu, bool partialChecksum);

/** Decrements the hop limit. False: it was the last hop, and nothing was changed. */
bool decrementHops(uint8_t* packet, const PacketInfo& info);

}  // namespace hawser
