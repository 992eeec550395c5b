// Packets that a worker receives from the network, and their cost for others.
#include "packet_path.h"

#include "tests.h"

using namespace hawser;
using namespace reference;

namespace {

constexpr uint8_t SECRET = 9;

struct Flood {
  PacketPath path{*chooseAead({"openssl-evp"})};
  std::unique_ptr<Mac1> macs = Mac1::make();
  uint8_t key[32];
  Endpoint honest = *parseEndpoint("192.0.2.7:4000");

  Flood() {
    CHECK(macs);
    const uint8_t publicKey[32] = {7};
    auto* const mac1 = new Mac1Key();
    CHECK(mac1Key(publicKey, mac1->bytes));
    std::memcpy(key, mac1->bytes, 32);
    path.core.mac1 = mac1;
    auto* const secret = new CookieSecret();
    std::memset(secret->bytes, SECRET, 32);
    secret->madeAt = engineNow();
    path.core.cookieSecret = secret;
  }
  ~Flood() {
    delete path.core.mac1.exchange(nullptr);
    delete path.core.cookieSecret.exchange(nullptr);
  }

  Bytes message(uint8_t type, size_t length, uint32_t receiver) {
    Bytes bytes(length);
    bytes[0] = type;
    std::memcpy(&bytes[type == 2 ? 8 : 4], &receiver, 4);
    CHECK(macs->mac(key, 32, bytes.data(), length - 32, &bytes[length - 32]));
    return bytes;
  }
  void withCookie(Bytes& bytes, const char* source) {
    uint8_t secret[32], cookie[16];
    std::memset(secret, SECRET, 32);
    CHECK(macs->mac(secret, 32, source, std::strlen(source), cookie));
    CHECK(macs->mac(cookie, 16, bytes.data(), bytes.size() - 16, &bytes[bytes.size() - 16]));
  }
  void receive(Bytes bytes, const Endpoint& source) {
    path.worker->fromUdp(*path.snapshot, bytes.data(), bytes.size(), bytes.size(), source);
  }
  std::vector<Event> events() {
    std::vector<Event> all;
    while (path.core.events.drain(all, all.size() + 256)) continue;
    return all;
  }
  uint64_t drops(Drop reason) const { return path.counters[3 * COUNTER_STRIDE + FIRST_DROP + static_cast<size_t>(reason)]; }
};

}  // namespace

void testHandshakeFlood() {
  Flood flood;
  flood.path.core.awaited.add(77);
  // Cookie replies and responses from anywhere, which anyone can send: all tokens of the rate limit remain.
  for (uint32_t at = 0; at < 5000; at++) {
    flood.receive(flood.message(3, 64, 1000 + at), flood.honest);
    flood.receive(flood.message(2, 92, 1000 + at), flood.honest);
  }
  CHECK(flood.events().empty() && flood.drops(Drop::UNKNOWN_SESSION) == 10000);
  flood.receive(flood.message(1, 148, 1), flood.honest);
  CHECK(flood.events().size() == 1);
  // Initiations with a valid mac1, more than the rate limit admits. `tick` isn't called, so no token is added.
  for (uint32_t at = 0; at < 3000; at++) flood.receive(flood.message(1, 148, at), *parseEndpoint("203.0.113.1:9"));
  CHECK(flood.drops(Drop::HANDSHAKE_RATE) == 1001);
  // Senders with a cookie, and responders, pass and have priority.
  Bytes held = flood.message(1, 148, 0xabcdef);
  flood.withCookie(held, "192.0.2.7:4000");
  flood.receive(held, flood.honest);
  flood.receive(flood.message(3, 64, 77), flood.honest);
  flood.receive(flood.message(2, 92, 77), flood.honest);
  // A cookie of another address is invalid.
  flood.receive(held, *parseEndpoint("192.0.2.8:4000"));
  CHECK(flood.drops(Drop::HANDSHAKE_RATE) == 1002);
  const std::vector<Event> events = flood.events();
  CHECK(events.size() == 2002);
  CHECK(events[0].proven && events[0].bytes[0] == 1 && events[1].bytes[0] == 3 && events[2].bytes[0] == 2 && !events[3].proven);
  flood.path.core.awaited.remove(77);
  flood.receive(flood.message(2, 92, 77), flood.honest);
  CHECK(flood.events().empty());
}

void testPeerOutlived() {
  PacketPath path(*chooseAead({"openssl-evp"}));
  const std::weak_ptr<Peer> peer = path.peer;
  path.core.sessions.insert(&path.session);
  const std::unique_ptr<Aead> aead = chooseAead({"openssl-evp"})->make();
  Bytes message(32);
  message[0] = 4;
  message[4] = 7;
  CHECK(aead->seal(path.session.receiveKey, 0, &message[16], 0));
  // The peer is removed, and only the session refers to it: a thread that has found the session continues.
  path.peer.reset();
  path.snapshot = SnapshotBuilder(3).build();
  CHECK(!peer.expired());
  path.worker->fromUdp(*path.snapshot, message.data(), message.size(), message.size(), *parseEndpoint("192.0.2.1:1"));
  CHECK(path.counters[COUNTER_STRIDE + KEEPALIVES_RECEIVED] == 1);
  path.core.sessions.remove(&path.session);
  path.session.peer.reset();
  CHECK(peer.expired());
}
