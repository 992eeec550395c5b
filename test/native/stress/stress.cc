// Two engines in one process under traffic, while one thread changes all configuration. Built with TSan.
//
// Run it in its own network namespace. Packets go A → B → A's TUN with one peer, and A → B → (relayed) → A with two others. A
// third kind of peer of B sends from many sockets at once, so that all threads of B decrypt with one session, while it is
// rekeyed and removed.
#include <arpa/inet.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "../../../native/src/engine.h"
#include "../unit/reference.h"

using namespace hawser;

namespace {

constexpr uint32_t PEERS = 16;

struct Side {
  std::vector<uint64_t> counters = std::vector<uint64_t>((PEERS + 1) * COUNTER_STRIDE);
  std::atomic<uint64_t> notified{0};
  std::unique_ptr<Engine> engine;

  void start(const char* name, uint16_t port) {
    EngineOptions options;
    options.tunName = name;
    options.port = port;
    options.maximumPeers = PEERS;
    options.threadPairs = 2;
    options.counters = counters.data();
    options.notify = [this] { notified++; };
    std::string error;
    engine = Engine::start(options, error);
    if (!engine) std::fprintf(stderr, "%s\n", error.c_str());
    CHECK(engine);
  }
  uint64_t count(uint32_t peer, Counter counter) { return CounterRow(&counters[peer * COUNTER_STRIDE]).get(counter); }
};

uint32_t nextIndex = 1;

void connect(Side& left, uint32_t leftPeer, Side& right, uint32_t rightPeer) {
  uint8_t forth[32], back[32];
  for (int at = 0; at < 32; at++) {
    forth[at] = static_cast<uint8_t>(nextIndex + static_cast<uint32_t>(at));
    back[at] = static_cast<uint8_t>(~forth[at]);
  }
  const uint32_t one = nextIndex++, other = nextIndex++;
  CHECK(right.engine->addKeypair(rightPeer, {other, one, back, forth, false, engineNow()}).empty());
  CHECK(left.engine->addKeypair(leftPeer, {one, other, forth, back, true, engineNow()}).empty());
  left.engine->sendKeepalive(leftPeer);
}

PeerChange peerAt(uint32_t id, uint16_t port, uint32_t mtu) {
  PeerChange change;
  change.settings.id = id;
  change.settings.mtu = mtu;
  change.endpoint = parseEndpoint("127.0.0.1:" + std::to_string(port));
  return change;
}

void route(Difference& difference, const char* prefix, std::vector<uint32_t> targets) {
  difference.upsertRoutes.push_back({*parsePrefix(prefix), std::move(targets)});
}

void send(const std::atomic<bool>& stop, const char* to, int segment) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  inet_pton(AF_INET, to, &address.sin_addr);
  if (segment != 0) setsockopt(socket, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
  std::vector<uint8_t> bytes(segment != 0 ? 20000 : 300);
  while (!stop) {
    sendto(socket, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&address), sizeof address);
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  close(socket);
}

/** The keys that the senders of the rekeyed and removed peer encrypt with. */
struct Passing {
  std::atomic<uint32_t> index{0};
  std::atomic<uint64_t> counter{0};
};
constexpr uint32_t PASSING_PEER = 8;
constexpr uint8_t PASSING_KEY = 0x5a;

/** Sends to B with the newest session and the one before it, from its own port. */
void sendAsPassing(const std::atomic<bool>& stop, Passing& passing, uint32_t sender) {
  const std::unique_ptr<Aead> aead = chooseAead({"openssl-evp"})->make();
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  uint8_t key[32];
  std::memset(key, PASSING_KEY, sizeof key);
  for (uint32_t round = 0; !stop; round++) {
    const uint32_t newest = passing.index;
    if (newest == 0) continue;
    uint8_t message[16 + 16] = {4};
    const uint32_t index = newest - round % 2;
    const uint64_t counter = passing.counter++;
    std::memcpy(message + 4, &index, 4);
    std::memcpy(message + 8, &counter, 8);
    CHECK(aead->seal(key, counter, message + 16, 0));
    // B moves between two ports; one of the two packets arrives.
    address.sin_port = htons(round / 2 % 2 == 0 ? 7002 : 7004);
    sendto(socket, message, sizeof message, 0, reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (round % 16 == sender) std::this_thread::yield();
  }
  close(socket);
}

void command(const char* text) { CHECK(std::system(text) == 0); }

}  // namespace

int main(int count, char** parameters) {
  const int seconds = count > 1 ? std::atoi(parameters[1]) : 5;
  command("ip link set lo up");
  auto a = std::make_unique<Side>(), b = std::make_unique<Side>();
  a->start("hwsa", 7001);
  b->start("hwsb", 7002);
  command("ip addr add 10.76.0.1/32 dev hwsa && ip route add 10.77.0.0/16 dev hwsa src 10.76.0.1");
  Difference forA, forB;
  for (const uint32_t id : {1u, 2u}) forA.upsertPeers.push_back(peerAt(id, 7002, 0));
  for (const uint32_t id : {1u, 2u}) forB.upsertPeers.push_back(peerAt(id, 7001, 0));
  route(forA, "10.77.0.0/16", {1});
  route(forA, "10.76.0.0/16", {2});
  route(forA, "10.77.128.0/17", {1, 2});
  route(forB, "10.76.0.0/16", {1, 2});
  route(forB, "10.77.0.0/17", {LOCAL_TARGET});
  route(forB, "10.77.128.0/17", {1, 2});
  CHECK(a->engine->apply(forA).empty() && b->engine->apply(forB).empty());
  std::atomic<bool> stop{false};
  std::vector<std::thread> senders;
  senders.emplace_back([&] { send(stop, "10.77.0.1", 1000); });
  senders.emplace_back([&] { send(stop, "10.77.0.2", 0); });
  senders.emplace_back([&] { send(stop, "10.77.200.1", 900); });
  senders.emplace_back([&] { send(stop, "10.77.200.2", 0); });
  Passing passing;
  for (uint32_t sender = 0; sender < 4; sender++) senders.emplace_back([&, sender] { sendAsPassing(stop, passing, sender); });
  uint32_t passingIndex = 0x40000000;
  uint64_t moves = 0, removals = 0, confirmed = 0;
  uint8_t passingKey[32];
  std::memset(passingKey, PASSING_KEY, sizeof passingKey);
  reference::Random random(11);
  std::vector<Event> events;
  uint64_t rounds = 0;
  const uint64_t end = engineNow() + static_cast<uint64_t>(seconds) * SECOND;
  // On a busy machine it continues until enough has happened.
  const uint64_t last = end + 60 * SECOND;
  const auto enough = [&] { return rounds > 50 && moves > 2 && removals > 10 && confirmed > 10; };
  for (; engineNow() < end || (!enough() && engineNow() < last); rounds++) {
    for (const uint32_t id : {1u, 2u})
      if (random.chance(50)) connect(*a, id, *b, id);
    if (random.chance(5)) a->engine->clearKeypairs(1 + static_cast<uint32_t>(random.below(2)));
    Difference change;
    for (int pods = 0; pods < 50; pods++) {
      const Prefix pod{false, 32, static_cast<Address4>(0x0a4d0000 + random.below(65536)), 0};
      if (random.chance(50))
        change.upsertRoutes.push_back({pod, {1 + static_cast<uint32_t>(random.below(2))}});
      else
        change.removeRoutes.push_back(pod);
    }
    const auto other = 3 + static_cast<uint32_t>(random.below(4));
    if (random.chance(30)) change.upsertPeers.push_back(peerAt(other, 7002, 1280));
    if (random.chance(20)) change.removePeers.push_back(other);
    if (random.chance(20)) change.deadPeers = std::vector<uint32_t>{1 + static_cast<uint32_t>(random.below(3))};
    change.upsertPeers.push_back(peerAt(2, 7002, random.chance(50) ? 0 : 1300));
    CHECK(a->engine->apply(change).empty());
    if (random.chance(30)) {
      const auto token = static_cast<uint32_t>(random.below(1000));
      a->engine->sendPathProbe(1, token, 64 + static_cast<uint32_t>(random.below(1400)));
    }
    uint8_t key[32] = {static_cast<uint8_t>(random.next())};
    b->engine->setPublicKey(random.chance(50) ? key : nullptr);
    // Two ports each, so that every call moves; peers follow by roaming, or are configured.
    if (random.chance(5)) {
      const uint16_t port = moves++ % 2 == 0 ? 7004 : 7002;
      const std::string error = b->engine->setPort(port);
      if (!error.empty()) std::fprintf(stderr, "%s\n", error.c_str());
      CHECK(error.empty() && b->engine->port() == port);
      for (const uint32_t id : {1u, 2u}) a->engine->setEndpoint(id, *peerAt(id, port, 0).endpoint);
    }
    if (random.chance(3)) CHECK(a->engine->setPort(random.chance(50) ? 7001 : 7003).empty());
    // Rekeyed several times, each time while packets confirm the previous session, and then removed during traffic.
    Difference come;
    come.upsertPeers.push_back(peerAt(PASSING_PEER, 7005, 0));
    CHECK(b->engine->apply(come).empty());
    for (uint64_t renewals = 1 + random.below(4); renewals > 0; renewals--) {
      const uint32_t index = ++passingIndex;
      CHECK(b->engine->addKeypair(PASSING_PEER, {index, 1, passingKey, passingKey, false, engineNow()}).empty());
      passing.index = index;
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(300)));
    }
    if (random.chance(70)) {
      Difference go;
      go.removePeers.push_back(PASSING_PEER);
      CHECK(b->engine->apply(go).empty());
      removals++;
    }
    for (Side* const side : {a.get(), b.get()})
      for (bool more = true; more;) {
        events.clear();
        more = side->engine->drain(events, 256);
        for (const Event& event : events)
          if (event.type == EventType::SESSION_CONFIRMED && event.peer == PASSING_PEER) confirmed++;
      }
  }
  stop = true;
  for (std::thread& sender : senders) sender.join();
  const uint64_t arrived = b->count(1, RECEIVED_PACKETS) + b->count(2, RECEIVED_PACKETS);
  const uint64_t relayed = a->count(1, RECEIVED_PACKETS) + a->count(2, RECEIVED_PACKETS);
  a->engine->close();
  b->engine.reset();
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("%llu rounds, %llu packets arrived, %llu came back by relay, %llu moves, %llu removals, %llu confirmed\n",
              number(rounds), number(arrived), number(relayed), number(moves), number(removals), number(confirmed));
  CHECK(enough() && arrived > 100 && relayed > 10);
}
