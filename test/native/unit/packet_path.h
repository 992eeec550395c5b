// A worker with one peer between the test's own descriptors, instead of a TUN device and the network.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../native/src/worker.h"
#include "reference.h"

namespace reference {

/** A UDP socket at 127.0.0.1 with a free port. */
inline hawser::Descriptor loopbackSocket(uint16_t& port) {
  hawser::Descriptor file(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHECK(file.open() && bind(file.get(), reinterpret_cast<sockaddr*>(&address), length) == 0);
  CHECK(getsockname(file.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0);
  port = ntohs(address.sin_port);
  return file;
}

/** Packets from the "TUN" to 10.0.0.0/8 are encrypted for peer 1, and arrive at `wire`. */
struct PacketPath {
  std::vector<uint64_t> counters = std::vector<uint64_t>(4 * hawser::COUNTER_STRIDE);
  hawser::Core core{4096, 64, 16, [] {}};
  std::shared_ptr<hawser::Peer> peer = std::make_shared<hawser::Peer>();
  hawser::Session session;
  std::unique_ptr<const hawser::Snapshot> snapshot;
  std::unique_ptr<hawser::Worker> worker;
  hawser::Descriptor wire;

  explicit PacketPath(const hawser::AeadLibrary& library, uint32_t mtu = 0) {
    using namespace hawser;
    core.tun.use(Descriptor(open("/dev/null", O_RDWR)));
    core.sockets.resize(1);
    uint16_t own = 0, other = 0;
    core.sockets[0].four = loopbackSocket(own);
    wire = loopbackSocket(other);
    core.counters = CounterRow(&counters[3 * COUNTER_STRIDE]);
    core.staging = std::make_unique<Staging>(64, 2048);
    SnapshotBuilder builder(3);
    auto plan = std::make_shared<PeerPlan>();
    plan->settings.id = 1;
    plan->settings.mtu = mtu;
    plan->peer = peer;
    peer->id = 1;
    peer->counters = CounterRow(&counters[COUNTER_STRIDE]);
    peer->endpoint.store(*parseEndpoint("127.0.0.1:" + std::to_string(other)));
    builder.setPeer(plan);
    Difference difference;
    difference.upsertRoutes.push_back({*parsePrefix("10.0.0.0/8"), {1}});
    builder.change(difference);
    snapshot = builder.build();
    session.localIndex = 7;
    session.remoteIndex = 8;
    session.peer = peer;
    session.createdAt = engineNow();
    std::memset(session.sendKey, 1, sizeof session.sendKey);
    std::memset(session.receiveKey, 2, sizeof session.receiveKey);
    worker = std::make_unique<Worker>(core, library, 0, -1);
    worker->tick();
  }
  ~PacketPath() { session.peer.reset(); }

  void begin() { peer->current = &session; }
  void fromTun(Bytes packet) {
    worker->fromTun(*snapshot, packet.data(), packet.size(), hawser::VirtioHeader{});
    worker->flush();
  }
  uint64_t drops(hawser::Drop reason) const {
    return counters[hawser::COUNTER_STRIDE + hawser::FIRST_DROP + static_cast<size_t>(reason)];
  }
  /** The next datagram on the wire; empty if there is none. */
  Bytes next() {
    Bytes bytes(65536);
    const ssize_t length = recv(wire.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(length < 0 ? 0 : static_cast<size_t>(length));
    return bytes;
  }
};

/** A UDP packet of `length` bytes from 10.1.0.1 to 10.2.0.1, filled with `content`. */
inline Bytes udpPacket(size_t length, uint8_t content) {
  Bytes packet(length, content);
  const uint8_t head[28] = {0x45, 0, static_cast<uint8_t>(length >> 8), static_cast<uint8_t>(length), 0, 0, 0x40, 0, 64, 17, 0, 0,
                            10, 1, 0, 1, 10, 2, 0, 1, 0, 9, 0, 9, static_cast<uint8_t>((length - 20) >> 8),
                            static_cast<uint8_t>(length - 20), 0, 0};
  std::copy(head, head + 28, packet.begin());
  return packet;
}

}  // namespace reference
