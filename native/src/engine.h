// The engine's interface: one thread creates, configures and closes it; packets move on its own threads.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "worker.h"

namespace hawser {

struct EngineOptions {
  std::string tunName;
  /** Negative: the device is opened by name. */
  int tunDescriptor = -1;
  unsigned mtu = 1420;
  uint16_t port = 0;
  uint32_t mark = 0;
  unsigned threadPairs = 1;
  uint32_t maximumPeers = 1024;
  uint32_t handshakeQueue = 1024;
  std::vector<std::string> aead;
  /** (maximumPeers + 1) * COUNTER_STRIDE u64, zero; outlives the engine. */
  uint64_t* counters = nullptr;
  /** Called by any thread. */
  std::function<void()> notify;
};

struct KeypairInput {
  uint32_t localIndex, remoteIndex;
  const uint8_t* sendKey;
  const uint8_t* receiveKey;
  bool initiator;
  uint64_t createdAt;
  /** See `Keypair` in index.d.ts. */
  bool yields = false;
};

/** All functions must be called by one thread. Those that return text return an error, or an empty string. */
class Engine {
 public:
  static std::unique_ptr<Engine> start(const EngineOptions& options, std::string& error);
  ~Engine();
  Engine(const Engine&) = delete;

  const Core& core() const { return *core_; }
  uint16_t port() const { return port_; }
  const char* aeadName() const { return aead_->name; }
  unsigned threadPairs() const { return static_cast<unsigned>(core_->sockets.size()); }

  void setPublicKey(const uint8_t* publicKey);
  /** 32 bytes; nullptr: cookies aren't checked. */
  void setCookieSecret(const uint8_t* secret);
  std::string apply(const Difference& difference);
  void setSwitching(bool on) { core_->switching.store(on); }
  std::string addKeypair(uint32_t id, const KeypairInput& input);
  void clearKeypairs(uint32_t id);
  bool hasIndex(uint32_t index) { return core_->sessions.find(index) != nullptr; }
  bool sendToPeer(uint32_t id, const uint8_t* bytes, size_t length);
  bool sendTo(const Endpoint& endpoint, const uint8_t* bytes, size_t length);
  void setEndpoint(uint32_t id, const Endpoint& endpoint);
  std::optional<Endpoint> endpoint(uint32_t id);
  void sendKeepalive(uint32_t id);
  ProbeSent sendPathProbe(uint32_t id, uint32_t token, uint32_t size);
  /** True: more are queued; see `EventQueue::drain`. */
  bool drain(std::vector<Event>& events, size_t limit);
  std::string setPort(uint16_t port);
  std::string setMark(uint32_t mark);
  void close();
  bool closed() const { return closed_; }

 private:
  struct PacketThread {
    std::unique_ptr<Worker> worker;
    Reclaimer::Reader* reader = nullptr;
    Descriptor wake;
    std::thread thread;
  };

  Engine() = default;
  std::string begin(const EngineOptions& options);
  void runTun(PacketThread& own, unsigned pair);
  void runUdp(PacketThread& own, unsigned pair);
  void failed(EventType type, int error);
  void wakeAll();
  void publish();
  void collect();
  void linger(Session* session);
  void await(Peer& peer, const uint8_t* message, size_t length);
  void forget(uint64_t& place);
  void release(Session* session);
  Peer* peer(uint32_t id) const;

  std::unique_ptr<Core> core_;
  std::unique_ptr<SnapshotBuilder> builder_;
  const AeadLibrary* aead_ = nullptr;
  uint64_t* counters_ = nullptr;
  uint32_t maximumPeers_ = 0;
  uint16_t port_ = 0;
  /** The previous port. */
  uint16_t leftPort_ = 0;
  uint32_t mark_ = 0;
  std::vector<std::unique_ptr<PacketThread>> threads_;
  /** Replaced sessions that still decrypt, in the order of their replacement. */
  std::vector<Session*> lingering_;
  /** Sends the owner's own messages. */
  std::unique_ptr<Worker> own_;
  bool closed_ = false;
};

}  // namespace hawser
