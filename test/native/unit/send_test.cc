// Packets that a worker sends, inspected on the wire.
#include "packet_path.h"

#include "tests.h"

using namespace hawser;
using namespace reference;

namespace {

/** A cipher whose library fails on request, as OpenSSL's may for lack of memory or of its provider. */
bool failing = false;

class FailingAead final : public Aead {
 public:
  bool seal(const uint8_t*, uint64_t, uint8_t* data, size_t length) override {
    if (failing) return false;
    for (size_t at = 0; at < length + AEAD_TAG; at++) data[at] = static_cast<uint8_t>(at < length ? data[at] ^ 0xff : 0);
    return true;
  }
  bool open(const uint8_t*, uint64_t, uint8_t*, size_t) override { return false; }
};

const AeadLibrary FAILING{"failing", [] { return std::unique_ptr<Aead>(new FailingAead()); }};

}  // namespace

void testSealFails() {
  PacketPath path(FAILING);
  path.begin();
  path.fromTun(udpPacket(500, 'x'));
  CHECK(path.next().size() == 16 + 512 + 16);
  failing = true;
  path.fromTun(udpPacket(500, 'x'));
  CHECK(!path.worker->sendKeepalive(*path.peer));
  path.worker->flush();
  // Nothing is sent, in particular no plaintext with an invalid tag.
  CHECK(path.next().empty());
  CHECK(path.drops(Drop::SEAL_FAILED) == 2);
  CHECK(path.peer->counters.get(SENT_PACKETS) == 1);
  path.peer->current = nullptr;
  path.fromTun(udpPacket(300, 'y'));
  path.begin();
  path.worker->sendStaged(*path.peer);
  path.worker->flush();
  CHECK(path.next().empty() && path.drops(Drop::SEAL_FAILED) == 3);
  failing = false;
  path.fromTun(udpPacket(200, 'z'));
  const Bytes message = path.next();
  CHECK(message.size() == 16 + 208 + 16);
  // Each counter is used for at most one packet, whether it was sent or not.
  CHECK(load<uint64_t>(&message[8]) == 4);
}
