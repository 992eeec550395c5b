#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include <algorithm>

namespace hawser {

namespace {

/** Memory limit of the staged packets of all peers. */
constexpr size_t STAGING_BYTES = 8 << 20;
constexpr uint32_t STAGING_SLOTS = 4096;
/** Replaced sessions of a peer that still decrypt: simultaneous handshakes need two. */
constexpr uint32_t LINGERING = 4;

}  // namespace

std::unique_ptr<Engine> Engine::start(const EngineOptions& options, std::string& error) {
  std::unique_ptr<Engine> engine(new Engine());
  error = engine->begin(options);
  if (!error.empty()) return nullptr;
  return engine;
}

Engine::~Engine() { close(); }

std::string Engine::begin(const EngineOptions& options) {
  aead_ = chooseAead(options.aead);
  if (aead_ == nullptr) return "no ChaCha20-Poly1305 passes its test vectors here: OpenSSL's functions weren't found in "
  "the program, and libipsec-mb isn't installed";
  // Four kinds of events, at most one of each per peer, plus a few of the engine and of peers whose id was reused.
  const size_t others = size_t{options.maximumPeers} * 4 + 64;
  core_ = std::make_unique<Core>(options.handshakeQueue, others, options.maximumPeers, options.notify);
  counters_ = options.counters;
  maximumPeers_ = options.maximumPeers;
  mark_ = options.mark;
  core_->counters = CounterRow(counters_ + size_t{maximumPeers_} * COUNTER_STRIDE);
  builder_ = std::make_unique<SnapshotBuilder>(maximumPeers_);
  const bool adopted = options.tunDescriptor >= 0;
  const unsigned pairs = adopted ? 1 : options.threadPairs;
  std::string error =
      adopted ? core_->tun.adopt(options.tunDescriptor) : core_->tun.create(options.tunName, options.mtu, pairs);
  if (!error.empty()) return error;
  core_->tunMtu = core_->tun.mtu();
  port_ = options.port;
  error = openUdp(core_->sockets, pairs, port_, mark_, core_->udp);
  if (!error.empty()) return error;
  // If the device's MTU grows later, larger packets are dropped instead of staged.
  const uint32_t slot = std::max(2048u, (core_->tun.mtu() + 127) & ~63u);
  core_->staging = std::make_unique<Staging>(
      std::min<uint32_t>(STAGING_SLOTS, static_cast<uint32_t>(STAGING_BYTES / slot)), slot);
  publish();
  own_ = std::make_unique<Worker>(*core_, *aead_, 0, -1);

  for (unsigned number = 0; number < pairs * 2; number++) {
    auto thread = std::make_unique<PacketThread>();
    thread->wake = Descriptor(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!thread->wake.open()) return std::string("can't make an eventfd: ") + strerror(errno);
    thread->worker = std::make_unique<Worker>(*core_, *aead_, number / 2, thread->wake.get());
    thread->reader = &core_->reclaimer.addReader();
    threads_.push_back(std::move(thread));
  }
  // Signals must be handled by the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (unsigned number = 0; number < pairs * 2; number++) {
    PacketThread& own = *threads_[number];
    const unsigned pair = number / 2;
    if (number % 2 == 0)
      own.thread = std::thread([this, &own, pair] { runTun(own, pair); });
    else
      own.thread = std::thread([this, &own, pair] { runUdp(own, pair); });
    const std::string name = (number % 2 == 0 ? "hawser-tun-" : "hawser-udp-") + std::to_string(pair);
    pthread_setname_np(own.thread.native_handle(), name.c_str());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return "";
}

void Engine::wakeAll() {
  for (const auto& thread : threads_) {
    const uint64_t one = 1;
    if (thread->wake.open() && write(thread->wake.get(), &one, sizeof one) < 0) {
      // The counter is at its maximum, so the thread will wake anyway.
    }
  }
}

void Engine::close() {
  if (closed_) return;
  closed_ = true;
  if (!core_) return;
  core_->stopping = true;
  wakeAll();
  for (const auto& thread : threads_)
    if (thread->thread.joinable()) thread->thread.join();
  threads_.clear();
  if (own_) {
    for (const auto& plan : builder_->peers())
      if (plan) clearKeypairs(plan->settings.id);
    own_.reset();
  }
  collect();
  core_->reclaimer.collectAll();
  delete core_->mac1.exchange(nullptr);
  delete core_->cookieSecret.exchange(nullptr);
  delete core_->snapshot.exchange(nullptr);
  core_->sockets.clear();
  core_->tun.close();
}

void Engine::failed(EventType type, int error) {
  if (core_->stopping.exchange(true)) return;
  Event event;
  event.type = type;
  event.error = error;
  core_->tell(event);
  wakeAll();
}

void Engine::publish() {
  const Snapshot* const old = core_->snapshot.exchange(builder_->build().release(), std::memory_order_seq_cst);
  if (old != nullptr) core_->reclaimer.retire([old] { delete old; });
}

void Engine::collect() {
  Session* session = core_->dropped.exchange(nullptr, std::memory_order_acquire);
  while (session != nullptr) {
    Session* const next = session->nextDropped;
    linger(session);
    session = next;
  }
  const uint64_t now = closed_ ? ~uint64_t{0} : engineNow();
  std::erase_if(lingering_, [&](Session* const old) {
    if (!old->closed(now)) return false;
    release(old);
    return true;
  });
  core_->reclaimer.collect();
}

void Engine::linger(Session* session) {
  Peer& peer = *session->peer;
  if (peer.lingering == LINGERING) {
    const auto oldest = std::find_if(lingering_.begin(), lingering_.end(),
                                     [&](const Session* const old) { return old->peer.get() == &peer; });
    release(*oldest);
    lingering_.erase(oldest);
  }
  lingering_.push_back(session);
  peer.lingering++;
}

void Engine::release(Session* session) {
  session->closesAt.store(0, std::memory_order_release);
  session->peer->lingering--;
  core_->sessions.remove(session);
  core_->reclaimer.retire([session] { delete session; });
}

Peer* Engine::peer(uint32_t id) const {
  const PeerPlan* const plan = closed_ ? nullptr : builder_->peer(id);
  return plan == nullptr ? nullptr : plan->peer.get();
}

void Engine::setPublicKey(const uint8_t* publicKey) {
  if (closed_) return;
  Mac1Key* key = nullptr;
  if (publicKey != nullptr) {
    key = new Mac1Key();
    mac1Key(publicKey, key->bytes);
  }
  const Mac1Key* const old = core_->mac1.exchange(key, std::memory_order_seq_cst);
  if (old != nullptr) core_->reclaimer.retire([old] { delete old; });
  collect();
}

void Engine::setCookieSecret(const uint8_t* secret) {
  if (closed_) return;
  CookieSecret* fresh = nullptr;
  if (secret != nullptr) {
    fresh = new CookieSecret();
    memcpy(fresh->bytes, secret, sizeof fresh->bytes);
    fresh->madeAt = engineNow();
  }
  const CookieSecret* const old = core_->cookieSecret.exchange(fresh, std::memory_order_seq_cst);
  if (old != nullptr) core_->reclaimer.retire([old] { delete old; });
  collect();
}

/** Registers the index that the answer to our message will carry; answers to an earlier message are no longer accepted. */
void Engine::await(Peer& peer, const uint8_t* message, size_t length) {
  if (length < 8 || (message[0] != 1 && message[0] != 2)) return;
  uint64_t& place = message[0] == 1 ? peer.called : peer.answered;
  forget(place);
  uint32_t index;
  memcpy(&index, message + 4, sizeof index);
  place = uint64_t{1} << 32 | index;
  core_->awaited.add(index);
}

void Engine::forget(uint64_t& place) {
  if (place != 0) core_->awaited.remove(static_cast<uint32_t>(place));
  place = 0;
}

std::string Engine::apply(const Difference& difference) {
  if (closed_) return "the engine is closed";
  std::string error = builder_->check(difference);
  if (!error.empty()) return error;
  std::vector<std::shared_ptr<Peer>> removed;
  for (const uint32_t id : difference.removePeers) {
    const PeerPlan* const plan = builder_->peer(id);
    if (plan == nullptr) continue;
    removed.push_back(plan->peer);
    clearKeypairs(id);
    forget(plan->peer->called);
    forget(plan->peer->answered);
    builder_->removePeer(id);
  }
  for (const PeerChange& change : difference.upsertPeers) {
    auto plan = std::make_shared<PeerPlan>();
    plan->settings = change.settings;
    const PeerPlan* const old = builder_->peer(change.settings.id);
    if (old != nullptr) {
      plan->peer = old->peer;
    } else {
      plan->peer = std::make_shared<Peer>();
      plan->peer->id = change.settings.id;
      plan->peer->counters = CounterRow(counters_ + size_t{change.settings.id} * COUNTER_STRIDE);
      plan->peer->counters.clear();
    }
    plan->peer->mtu = change.settings.mtu;
    if (change.endpoint) {
      plan->peer->endpoint.store(*change.endpoint);
      plan->peer->sendSingly = false;
    }
    builder_->setPeer(std::move(plan));
  }
  builder_->change(difference);
  publish();
  for (const auto& peer : removed) {
    // Packets of the old snapshot may still be staged for it until the last of them has passed.
    core_->reclaimer.retire([this, peer] { core_->staging->drop(*peer); });
  }
  collect();
  return "";
}

std::string Engine::addKeypair(uint32_t id, const KeypairInput& input) {
  Peer* const to = peer(id);
  if (to == nullptr) return closed_ ? "the engine is closed" : "there is no peer " + std::to_string(id);
  collect();
  if (hasIndex(input.localIndex)) return "the local index is in use; choose one for which hasIndex() is false";
  auto* const session = new Session();
  session->localIndex = input.localIndex;
  session->remoteIndex = input.remoteIndex;
  session->peer = builder_->peer(id)->peer;
  session->createdAt = input.createdAt;
  session->initiator = input.initiator;
  memcpy(session->sendKey, input.sendKey, AEAD_KEY);
  memcpy(session->receiveKey, input.receiveKey, AEAD_KEY);
  core_->sessions.insert(session);
  {
    const uint64_t closesAt = engineNow() + REPLACED_SESSION_TIME;
    const std::lock_guard lock(to->keypairs);
    Session* const next = to->next.load(std::memory_order_relaxed);
    Session* const current = to->current.load(std::memory_order_relaxed);
    if (!input.initiator) {
      // Until confirmation the peer sends with the current session; packets in flight may use the previous one.
      core_->drop(next, closesAt);
      to->next.store(session, std::memory_order_release);
    } else {
      core_->drop(to->previous.load(std::memory_order_relaxed), closesAt);
      if (next == nullptr || input.yields) {
        to->previous.store(current, std::memory_order_release);
      } else {
        // Simultaneous handshakes. The peer may use its own session until it receives ours, and the previous one until then.
        core_->drop(current, closesAt);
        to->previous.store(next, std::memory_order_release);
        to->next.store(nullptr, std::memory_order_release);
      }
      to->current.store(session, std::memory_order_release);
    }
  }
  to->sendSingly = false;
  collect();
  if (input.initiator) {
    own_->tick();
    own_->sendStaged(*to);
    own_->flush();
  }
  return "";
}

void Engine::clearKeypairs(uint32_t id) {
  const PeerPlan* const plan = builder_->peer(id);
  if (plan == nullptr) return;
  Peer& peer = *plan->peer;
  {
    const std::lock_guard lock(peer.keypairs);
    core_->drop(peer.current.exchange(nullptr), 0);
    core_->drop(peer.previous.exchange(nullptr), 0);
    core_->drop(peer.next.exchange(nullptr), 0);
  }
  collect();
  // Sessions replaced earlier have already been collected, since that happens under the lock.
  std::erase_if(lingering_, [&](Session* const old) {
    if (old->peer.get() != &peer) return false;
    release(old);
    return true;
  });
}

bool Engine::sendToPeer(uint32_t id, const uint8_t* bytes, size_t length) {
  Peer* const to = peer(id);
  if (to == nullptr) return false;
  const Endpoint endpoint = to->endpoint.load();
  if (endpoint.version == 0) return false;
  await(*to, bytes, length);
  own_->tick();
  own_->batch().to(to, endpoint, ECN_NOT_CAPABLE);
  memcpy(own_->batch().reserve(length), bytes, length);
  own_->batch().commit(length);
  own_->flush();
  to->counters.add(SENT_BYTES, length);
  return true;
}

bool Engine::sendTo(const Endpoint& endpoint, const uint8_t* bytes, size_t length) {
  if (closed_) return false;
  own_->batch().to(nullptr, endpoint, ECN_NOT_CAPABLE);
  memcpy(own_->batch().reserve(length), bytes, length);
  own_->batch().commit(length);
  own_->flush();
  return true;
}

void Engine::setEndpoint(uint32_t id, const Endpoint& endpoint) {
  Peer* const to = peer(id);
  if (to == nullptr) return;
  to->endpoint.store(endpoint);
  to->sendSingly = false;
}

std::optional<Endpoint> Engine::endpoint(uint32_t id) {
  Peer* const of = peer(id);
  if (of == nullptr) return std::nullopt;
  const Endpoint endpoint = of->endpoint.load();
  return endpoint.version == 0 ? std::nullopt : std::optional(endpoint);
}

void Engine::sendKeepalive(uint32_t id) {
  Peer* const to = peer(id);
  if (to == nullptr) return;
  own_->tick();
  own_->sendKeepalive(*to);
  own_->flush();
}

ProbeSent Engine::sendPathProbe(uint32_t id, uint32_t token, uint32_t size) {
  Peer* const to = peer(id);
  if (to == nullptr) return ProbeSent::NO_SESSION;
  own_->tick();
  own_->flush();
  return own_->sendPathProbe(*to, token, size);
}

bool Engine::drain(std::vector<Event>& events, size_t limit) {
  if (!closed_) collect();
  const bool more = core_->events.drain(events, limit);
  for (Event& event : events) {
    Peer* const of = peer(event.peer);
    if (of == nullptr) continue;
    // From here on another event of its kind may be queued.
    if (event.type == EventType::ENDPOINT_CHANGED) of->endpointEvent.store(false, std::memory_order_release);
    if (event.type == EventType::HANDSHAKE_WANTED) of->wantedEvent.store(false, std::memory_order_release);
    if (event.type == EventType::SESSION_CONFIRMED) {
      of->confirmedEvent.store(false, std::memory_order_seq_cst);
      event.localIndex = of->confirmedIndex.load(std::memory_order_seq_cst);
    }
  }
  return more;
}

std::string Engine::setPort(uint16_t port) {
  if (closed_) return "the engine is closed";
  if (port != 0 && port == port_) return "";
  std::vector<UdpSockets> fresh;
  std::string error = openUdp(fresh, threadPairs(), port, mark_, core_->udp);
  // A thread that sleeps on the old socket keeps its port in use until it wakes.
  for (int waits = 0; waits < 50 && !error.empty() && port != 0 && port == leftPort_; waits++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    error = openUdp(fresh, threadPairs(), port, mark_, core_->udp);
  }
  if (!error.empty()) return error;
  // dup2 replaces the old socket atomically under the same number, so no thread needs a notification.
  for (unsigned pair = 0; pair < fresh.size(); pair++) {
    if (dup3(fresh[pair].four.get(), core_->sockets[pair].four.get(), O_CLOEXEC) < 0) return strerror(errno);
    if (fresh[pair].six.open() && core_->sockets[pair].six.open() &&
        dup3(fresh[pair].six.get(), core_->sockets[pair].six.get(), O_CLOEXEC) < 0)
      return strerror(errno);
  }
  leftPort_ = port_;
  port_ = port;
  // Sleeping threads still poll the old sockets.
  wakeAll();
  return "";
}

std::string Engine::setMark(uint32_t mark) {
  if (closed_) return "the engine is closed";
  const int error = markUdp(core_->sockets, mark);
  if (error != 0) return std::string("can't set the mark of the UDP socket: ") + strerror(error);
  mark_ = mark;
  return "";
}

}  // namespace hawser
