// Congestion marks between the inner and the outer header.
#include "../../../native/src/ecn.h"

#include <netinet/in.h>

#include "packet_path.h"
#include "tests.h"

using namespace hawser;
using namespace reference;

namespace {

/** TOS of the next datagram on the wire; -1 if there is none. */
int tosOfNext(int socket) {
  uint8_t bytes[2048];
  alignas(8) uint8_t control[64];
  iovec vector{bytes, sizeof bytes};
  msghdr header{};
  header.msg_iov = &vector;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  if (recvmsg(socket, &header, 0) < 0) return -1;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part))
    if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TOS) return *CMSG_DATA(part);
  return -1;
}

}  // namespace

void testEcn() {
  // RFC 6040, figure 4: rows are the inner header's Not-ECT, ECT(0), ECT(1), CE; columns the outer header's.
  constexpr uint8_t ORDER[] = {ECN_NOT_CAPABLE, ECN_CAPABLE_0, ECN_CAPABLE_1, ECN_CONGESTED};
  constexpr uint8_t FIGURE[4][4] = {{ECN_NOT_CAPABLE, ECN_NOT_CAPABLE, ECN_NOT_CAPABLE, ECN_DROP},
                                    {ECN_CAPABLE_0, ECN_CAPABLE_0, ECN_CAPABLE_1, ECN_CONGESTED},
                                    {ECN_CAPABLE_1, ECN_CAPABLE_1, ECN_CAPABLE_1, ECN_CONGESTED},
                                    {ECN_CONGESTED, ECN_CONGESTED, ECN_CONGESTED, ECN_CONGESTED}};
  for (int inner = 0; inner < 4; inner++)
    for (int outer = 0; outer < 4; outer++) CHECK(ecnLeaving(ORDER[inner], ORDER[outer]) == FIGURE[inner][outer]);

  Random random(21);
  for (int round = 0; round < 400; round++) {
    PacketKind kind;
    kind.six = random.chance(50);
    kind.protocol = PROTOCOL_UDP;
    kind.payload = random.below(200);
    uint8_t source[16] = {10, 1}, destination[16] = {10, 2};
    Bytes packet = makePacket(random, kind, source, destination);
    Bytes same = packet;
    const auto ecn = static_cast<uint8_t>(random.below(4));
    const uint8_t before = ecnOf(packet.data(), kind.six);
    setEcn(packet.data(), kind.six, ecn);
    CHECK(ecnOf(packet.data(), kind.six) == ecn && checksumsRight(packet.data(), packet.size()));
    setEcn(packet.data(), kind.six, before);
    CHECK(packet == same);
  }

  // Outwards: the ECN mark is copied, the rest of the byte is not.
  PacketPath path(*chooseAead({"openssl-evp"}));
  const int on = 1;
  CHECK(setsockopt(path.wire.get(), IPPROTO_IP, IP_RECVTOS, &on, sizeof on) == 0);
  path.begin();
  for (const int tos : {0x00, 0xb8, 0xba, 0xb9, 0x03}) {
    Bytes packet = udpPacket(200, 'e');
    packet[1] = static_cast<uint8_t>(tos);
    path.fromTun(packet);
    CHECK(tosOfNext(path.wire.get()) == (tos & 3));
  }
  // Each staged packet keeps its own mark.
  path.peer->current = nullptr;
  for (const int tos : {0x02, 0x00, 0x03}) {
    Bytes packet = udpPacket(200, 'e');
    packet[1] = static_cast<uint8_t>(tos);
    path.fromTun(packet);
  }
  path.begin();
  path.worker->sendStaged(*path.peer);
  path.worker->flush();
  for (const int tos : {0x02, 0x00, 0x03}) CHECK(tosOfNext(path.wire.get()) == tos);
}
