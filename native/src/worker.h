// One thread's part in moving packets: it seals, opens, routes. A worker is never shared.
#pragma once

#include "aead.h"
#include "coalesce.h"
#include "core.h"
#include "ecn.h"
#include "icmp.h"
#include "mac1.h"
#include "path_probe.h"

namespace hawser {

/** `TOO_BIG`: this machine's own interface doesn't take it. */
enum class ProbeSent : uint8_t { SENT, TOO_BIG, NO_SESSION };

class Worker {
 public:
  /** `pair`: whose TUN queue and sockets it uses; `stop` wakes what waits. */
  Worker(Core& core, const AeadLibrary& aead, unsigned pair, int stop);

  /** Before a batch: takes the time. */
  void tick() { now_ = engineNow(); }
  uint64_t now() const { return now_; }

  /** A packet that the TUN device gave. Its bytes are changed. */
  void fromTun(const Snapshot& snapshot, uint8_t* data, size_t length, const VirtioHeader& virtio);
  /**
   * Datagrams of one sender, side by side, each of `segment` bytes but the last, all with `ecn` in their IP header. Changes
   * them; they must stay until `flush`.
   */
  void fromUdp(const Snapshot& snapshot, uint8_t* data, size_t length, size_t segment, const Endpoint& source,
               uint8_t ecn = ECN_NOT_CAPABLE);

  /** An empty message; false: there is no session to send it in, or no endpoint. */
  bool sendKeepalive(Peer& peer);
  /** Sends a path probe that must not be fragmented on its way. */
  ProbeSent sendPathProbe(Peer& peer, uint32_t token, uint32_t size);
  /** Sends what waited for a session. */
  void sendStaged(Peer& peer);
  /** Asks JavaScript for a handshake, at most once a second. */
  void want(Peer& peer, Wanted reason);
  /** Tells where the peer is from now on. */
  void roam(Peer& peer, const Endpoint& source);

  SendBatch& batch() { return batch_; }
  bool pending() const { return !batch_.empty(); }
  /** Sends and writes what was collected. */
  void flush() {
    batch_.flush();
    writer_.flush();
  }

 private:
  void leave(const Snapshot& snapshot, const PeerPlan& plan, Superpacket& packet, const PeerPlan* from);
  void enter(const Snapshot& snapshot, const PeerPlan& plan, uint8_t* data, const PacketInfo& info);
  void answer(const Snapshot& snapshot, IcmpError error, const Superpacket& packet, unsigned mtu, const PeerPlan* from);
  void seal(Peer& peer, const Superpacket& packet, unsigned mtu, unsigned padTo);
  bool sealOne(const Session& session, uint64_t counter, uint8_t* message, size_t length, unsigned padTo);
  void sealFragments(Peer& peer, const Superpacket& whole, unsigned mtu, unsigned padTo);
  void stage(Peer& peer, Splitter& splitter);
  void sent(Peer& peer, Session& session, uint64_t packets, uint64_t bytes);
  void datagram(const Snapshot& snapshot, uint8_t* data, size_t length, const Endpoint& source);
  void transport(const Snapshot& snapshot, uint8_t* data, size_t length, const Endpoint& source);
  void handshake(const uint8_t* data, size_t length, const Endpoint& source);
  bool sendControl(Peer& peer, const uint8_t* content, size_t length, size_t size);
  bool takePathProbe(Peer& peer, const uint8_t* inner, size_t length);
  void confirm(Peer& peer, Session& session);
  void countArrivals();
  bool takeToken(uint64_t& tokens, uint64_t& filledAt, uint64_t rate, uint64_t burst) const;

  Core& core_;
  std::unique_ptr<Aead> aead_;
  std::unique_ptr<Mac1> mac1_;
  SendBatch batch_;
  TunWriter writer_;
  uint64_t now_ = 0;
  /** Of the datagrams that are being taken. */
  uint8_t outerEcn_ = ECN_NOT_CAPABLE;
  /** What came from one peer in the datagrams that are being taken: counted once, not with each of them. */
  struct Arrivals {
    Peer* peer = nullptr;
    uint64_t bytes = 0, packets = 0;
  } arrivals_;
  uint64_t icmpTokens_ = 0, icmpFilledAt_ = 0;
  bool mayPass(const uint8_t* data, size_t length, const Endpoint& source, bool& proven);

  /** Of strangers, of who holds a cookie, and of answers to our own messages: none takes from another. */
  struct Bucket {
    uint64_t tokens = 0, filledAt = 0;
  } strangers_, holders_, answers_;
  /** For a packet on its way to staging, and for one fragment. */
  std::unique_ptr<uint8_t[]> scratch_, fragment_;
};

}  // namespace hawser
