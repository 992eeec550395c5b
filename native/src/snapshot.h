// The configuration that packets see: immutable, replaced as a whole by one pointer.
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

/** Groups of addresses; admitted is a packet whose two ends share one. */
struct AdmissionTables {
  PrefixTable local, remote;

  /** `ends` holds two addresses of the packet, the local side's and the remote side's. */
  bool admits(bool six, const uint8_t* localSide, const uint8_t* remoteSide) const {
    const uint32_t here = local.find(six, localSide);
    if (here == NO_VALUE) return false;
    const uint32_t there = remote.find(six, remoteSide);
    return there != NO_VALUE && (here & there) != 0;
  }
};

struct PeerSettings {
  uint32_t id = 0;
  /** 0: the TUN's. */
  uint32_t mtu = 0;
  TranslationMaps in, out;
  bool hasAdmission = false;
  AdmissionTables admission;
};

/** A peer as one snapshot sees it. */
struct PeerPlan {
  PeerSettings settings;
  std::shared_ptr<Peer> peer;
};

struct Snapshot {
  std::vector<std::shared_ptr<const PeerPlan>> peers;
  PrefixTable routes;
  /** Sets of targets that routes with several point to. */
  std::vector<std::vector<uint32_t>> targetSets;
  bool anyTunSource = true;
  PrefixTable tunSources;
  std::vector<uint8_t> dead;

  const PeerPlan* peer(uint32_t id) const { return id < peers.size() ? peers[id].get() : nullptr; }

  /** LOCAL_TARGET, a peer's id, or NO_VALUE. Of several the one that the flow's hash chooses among the live. */
  uint32_t route(bool six, const uint8_t* destination, uint32_t hash) const;
  /** Whether a route of `source` leads to peer `id` (alive or not): then that peer may send from it. */
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

/** Where the next snapshot grows; of the configuring thread alone. */
class SnapshotBuilder {
 public:
  explicit SnapshotBuilder(uint32_t maximumPeers) : plans_(maximumPeers), dead_(maximumPeers) {}

  /** What is wrong with a difference; nothing is changed then. Empty: nothing is wrong. */
  std::string check(const Difference& difference) const;
  void removePeer(uint32_t id) { plans_[id].reset(); }
  void setPeer(std::shared_ptr<const PeerPlan> plan) { plans_[plan->settings.id] = std::move(plan); }
  const PeerPlan* peer(uint32_t id) const { return id < plans_.size() ? plans_[id].get() : nullptr; }
  const std::vector<std::shared_ptr<const PeerPlan>>& peers() const { return plans_; }
  /** Routes, sources and dead peers of a difference; the peers are the caller's to change. */
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
