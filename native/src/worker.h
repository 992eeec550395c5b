// The packet processing of one thread: encrypts, decrypts, routes. A worker is never shared.
#pragma once

#include "aead.h"
#include "coalesce.h"
#include "core.h"
#include "ecn.h"
#include "icmp.h"
#include "mac1.h"
#include "path_probe.h"

namespace hawser {

/** `TOO_BIG`: the local interface refuses it. */
enum class ProbeSent : uint8_t { SENT, TOO_BIG, NO_SESSION };

class Worker {
 public:
  /** `pair`: the pair of threads whose TUN queue and sockets it uses; `stop` wakes blocking calls. */
  Worker(Core& core, const AeadLibrary& aead, unsigned pair, int stop);

  /** Called before a batch: reads the time. */
  void tick() { now_ = engineNow(); }
  uint64_t now() const { return now_; }

  /** Processes a packet from the TUN device, whose bytes it changes. */
  void fromTun(const Snapshot& snapshot, uint8_t* data, size_t length, const VirtioHeader& virtio);
  /**
   * Processes coalesced datagrams of one sender, each of `segment` bytes but the last, all with `ecn` in their IP header. Changes
   * them; they must stay valid until `flush`.
   */
  void fromUdp(const Snapshot& snapshot, uint8_t* data, size_t length, size_t segment, const Endpoint& source,
               uint8_t ecn = ECN_NOT_CAPABLE);

  /** Sends an empty message; false if there is no session or no endpoint. */
  bool sendKeepalive(Peer& peer);
  /** Sends a path probe, which must not be fragmented. */
  ProbeSent sendPathProbe(Peer& peer, uint32_t token, uint32_t size);
  /** Sends the packets that waited for a session. */
  void sendStaged(Peer& peer);
  /** Requests a handshake from JavaScript, at most once per second. */
  void want(Peer& peer, Wanted reason);
  /** Reports the peer's new endpoint. */
  void roam(Peer& peer, const Endpoint& source);

  SendBatch& batch() { return batch_; }
  bool pending() const { return !batch_.empty(); }
  /** Sends and writes the collected packets. */
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
  /** ECN of the datagrams being processed. */
  uint8_t outerEcn_ = ECN_NOT_CAPABLE;
  /** Totals of one peer in the datagrams being processed, added to its counters once. */
  struct Arrivals {
    Peer* peer = nullptr;
    uint64_t bytes = 0, packets = 0;
  } arrivals_;
  uint64_t icmpTokens_ = 0, icmpFilledAt_ = 0;
  bool mayPass(const uint8_t* data, size_t length, const Endpoint& source, bool& proven);

  /** Separate rate limits for strangers, senders with a cookie, and answers to our messages. */
  struct Bucket {
    uint64_t tokens = 0, filledAt = 0;
  } strangers_, holders_, answers_;
  /** Buffers for a packet to be staged, and for a fragment. */
  std::unique_ptr<uint8_t[]> scratch_, fragment_;
};

}  // namespace hawser
