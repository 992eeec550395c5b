// Any datagram at an engine's socket: random bytes, encrypted random bytes, and encrypted packets that are routed, relayed,
// answered or repeated.
#include <fcntl.h>

#include "../../../native/src/worker.h"
#include "harness.h"

using namespace hawser;
using namespace reference;

namespace {

constexpr uint32_t INDEX = 7;

AdmissionTables admitHalf() {
  PrefixMap local, remote;
  local.set(*parsePrefix("0.0.0.0/1"), 1);
  local.set(*parsePrefix("::/1"), 1);
  remote.set(*parsePrefix("0.0.0.0/0"), 3);
  remote.set(*parsePrefix("::/0"), 3);
  return {local.build(), remote.build()};
}

struct World {
  std::vector<uint64_t> counters = std::vector<uint64_t>(4 * COUNTER_STRIDE);
  Core core{64, 64, 4, [] {}};
  std::unique_ptr<const Snapshot> snapshot;
  std::vector<std::unique_ptr<Session>> sessions;
  std::unique_ptr<Worker> worker;
  std::unique_ptr<Aead> aead;
  uint64_t counter = 0;

  World() {
    core.tun.use(Descriptor(open("/dev/null", O_RDWR)));
    core.sockets.resize(1);
    core.udp.segmentation = true;
    core.counters = CounterRow(&counters[3 * COUNTER_STRIDE]);
    core.staging = std::make_unique<Staging>(16, 2048);
    core.mac1 = new Mac1Key{};
    SnapshotBuilder builder(3);
    for (uint32_t id = 0; id < 3; id++) {
      auto plan = std::make_shared<PeerPlan>();
      plan->settings.id = id;
      plan->settings.mtu = id == 2 ? 1280 : 0;
      if (id == 1) {
        plan->settings.hasAdmission = true;
        plan->settings.admission = admitHalf();
      }
      plan->peer = std::make_shared<Peer>();
      plan->peer->id = id;
      plan->peer->counters = CounterRow(&counters[id * COUNTER_STRIDE]);
      Endpoint endpoint;
      endpoint.version = 4;
      endpoint.port = 9;
      plan->peer->endpoint.store(endpoint);
      // The input comes from peer 0; peers 1 and 2 are relay targets; 2 has no session, so packets are staged.
      if (id < 2) {
        auto session = std::make_unique<Session>();
        session->localIndex = INDEX + id;
        session->peer = plan->peer;
        session->createdAt = engineNow();
        std::memset(session->sendKey, 1, sizeof session->sendKey);
        std::memset(session->receiveKey, 2, sizeof session->receiveKey);
        plan->peer->current = session.get();
        core.sessions.insert(session.get());
        sessions.push_back(std::move(session));
      }
      builder.setPeer(plan);
    }
    Difference difference;
    const auto route = [&](const char* prefix, std::vector<uint32_t> targets) {
      difference.upsertRoutes.push_back({*parsePrefix(prefix), std::move(targets)});
    };
    route("0.0.0.0/2", {LOCAL_TARGET});
    route("64.0.0.0/2", {1});
    route("128.0.0.0/2", {1, 2});
    route("192.0.0.0/2", {0});
    route("::/2", {LOCAL_TARGET});
    route("4000::/2", {1});
    route("8000::/2", {1, 2});
    route("c000::/2", {0});
    builder.change(difference);
    snapshot = builder.build();
    const AeadLibrary* const library = chooseAead({"openssl-evp"});
    CHECK(library != nullptr);
    aead = library->make();
    worker = std::make_unique<Worker>(core, *library, 0, -1);
  }

  uint64_t count(uint32_t row, Drop reason) const {
    return counters[row * COUNTER_STRIDE + FIRST_DROP + static_cast<size_t>(reason)];
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static World& world = *new World();
  if (size > 4096) return 0;
  Input input(data, size);
  const uint8_t mode = input.byte();
  const Endpoint source = world.snapshot->peer(0)->peer->endpoint.load();
  // The session stays young, however long the fuzzer runs.
  world.sessions[0]->createdAt = world.sessions[1]->createdAt = engineNow();
  // A path probe is pending, which one answer completes.
  world.snapshot->peer(0)->peer->pathProbe = uint64_t{7} << 32 | 64;
  world.worker->tick();
  if ((mode & 1) == 0) {
    Bytes datagram = input.rest();
    if (datagram.size() > 8 && mode & 2) {
      store<uint32_t>(datagram.data(), 4);
      store<uint32_t>(datagram.data() + 4, INDEX);
    }
    datagram.shrink_to_fit();
    world.worker->fromUdp(*world.snapshot, datagram.data(), datagram.size(), datagram.size(), source, mode >> 4 & 3);
    world.worker->flush();
  } else {
    Bytes packet = input.rest();
    if (mode & 4) repair(packet);
    Bytes datagram(16 + packet.size() + 16);
    store<uint32_t>(&datagram[0], 4);
    store<uint32_t>(&datagram[4], INDEX);
    // Mostly the next counter; sometimes one far ahead, which moves the window.
    world.counter += mode & 8 ? 9000 : 1;
    store<uint64_t>(&datagram[8], world.counter);
    if (!packet.empty()) std::memcpy(&datagram[16], packet.data(), packet.size());
    CHECK(world.aead->seal(world.sessions[0]->receiveKey, world.counter, &datagram[16], packet.size()));
    Bytes again = datagram;
    const uint64_t refused = world.count(0, Drop::AUTHENTICATION), replayed = world.count(0, Drop::REPLAY);
    world.worker->fromUdp(*world.snapshot, datagram.data(), datagram.size(), datagram.size(), source, mode >> 4 & 3);
    world.worker->fromUdp(*world.snapshot, again.data(), again.size(), again.size(), source, mode >> 4 & 3);
    world.worker->flush();
    CHECK(world.count(0, Drop::AUTHENTICATION) == refused);
    CHECK(world.count(0, Drop::REPLAY) == replayed + 1);
  }
  std::vector<Event> events;
  world.core.events.drain(events, 64);
  CHECK(std::count_if(events.begin(), events.end(),
                      [](const Event& event) { return event.type == EventType::PROBE_ANSWERED; }) ==
        (world.snapshot->peer(0)->peer->pathProbe == 0 ? 1 : 0));
  for (uint32_t id = 0; id < 3; id++) world.core.staging->drop(*world.snapshot->peer(id)->peer);
  return 0;
}
