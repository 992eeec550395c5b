// The configuration used by packets: immutable, replaced as a whole by swapping one pointer.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "peer.h"
#include "translate.h"

namespace hawser {

/** Target of a route: the TUN device. Other targets are peer ids. */
constexpr uint32_t LOCAL_TARGET = 0x7fffffff;

/** Groups of addresses; a packet is admitted if its two ends share a group. */
struct AdmissionTables {
  PrefixTable local, remote;

  /** `ends`: the packet's local-side and remote-side addresses. */
  bool admits(bool six, const uint8_t* localSide, const uint8_t* remoteSide) const {
    const uint32_t here = local.find(six, localSide);
    if (here == NO_VALUE) return false;
    const uint32_t there = remote.find(six, remoteSide);
    return there != NO_VALUE && (here & there) != 0;
  }
};

struct PeerSettings {
  uint32_t id = 0;
  /** 0 means the TUN's MTU. */
  uint32_t mtu = 0;
  TranslationMaps in, out;
  bool hasAdmission = false;
  AdmissionTables admission;
};

/** A peer in one snapshot. */
struct PeerPlan {
  PeerSettings settings;
  std::shared_ptr<Peer> peer;
};

struct Snapshot {
  std::vector<std::shared_ptr<const PeerPlan>> peers;
  PrefixTable routes;
  /** Target sets of routes with several targets. */
  std::vector<std::vector<uint32_t>> targetSets;
  bool anyTunSource = true;
  PrefixTable tunSources;
  std::vector<uint8_t> dead;

  const PeerPlan* peer(uint32_t id) const { return id < peers.size() ? peers[id].get() : nullptr; }

  /** LOCAL_TARGET, a peer's id, or NO_VALUE. Among several live targets the flow's hash chooses. */
  uint32_t route(bool six, const uint8_t* destination, uint32_t hash) const;
  /** Whether the route of `source` includes peer `id` (live or not), so that the peer may send from it. */
  bool routesTo(bool six, const uint8_t* source, uint32_t id) const;
};

struct PeerChange {
  PeerSettings settings;
  std::optional<Endpoint> endpoint;
};

struct RouteChange {
  Prefix prefix;
  std::vector<uint32_t> targets;
};

struct Difference {
  std::vector<uint32_t> removePeers;
  std::vector<PeerChange> upsertPeers;
  std::vector<Prefix> removeRoutes;
  std::vector<RouteChange> upsertRoutes;
  bool tunSourcesGiven = false;
  bool tunSourcesAny = false;
  std::vector<Prefix> tunSources;
  std::optional<std::vector<uint32_t>> deadPeers;
};

/** Builder of the next snapshot; used only by the configuring thread. */
class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(uint32_t maximumPeers) : plans_(maximumPeers), dead_(maximumPeers) {}

  /** The error in a difference, which then changes nothing; empty if there is none. */
  std::string check(const Difference& difference) const;
  void removePeer(uint32_t id) { plans_[id].reset(); }
  void setPeer(std::shared_ptr<const PeerPlan> plan) { plans_[plan->settings.id] = std::move(plan); }
  const PeerPlan* peer(uint32_t id) const { return id < plans_.size() ? plans_[id].get() : nullptr; }
  const std::vector<std::shared_ptr<const PeerPlan>>& peers() const { return plans_; }
  /** Applies routes, sources and dead peers of a difference; the caller changes the peers. */
  void change(const Difference& difference);
  std::unique_ptr<const Snapshot> build();

 private:
  uint32_t targetValue(const std::vector<uint32_t>& targets);
  void compactTargets();

  std::vector<std::shared_ptr<const PeerPlan>> plans_;
  PrefixMap routes_;
  std::vector<std::vector<uint32_t>> targetSets_;
  std::map<std::vector<uint32_t>, uint32_t> targetIndex_;
  bool anyTunSource_ = true;
  PrefixMap tunSources_;
  std::vector<uint8_t> dead_;
};

}  // namespace hawser
