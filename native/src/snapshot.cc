#include "snapshot.h"

#include <algorithm>

namespace hawser {

namespace {

constexpr uint32_t SET_BIT = 0x80000000;

/** Rendezvous hashing (highest random weight): when a target dies, only its flows move. */
uint32_t choose(const std::vector<uint32_t>& targets, const std::vector<uint8_t>& dead, uint32_t hash) {
  uint32_t best = NO_VALUE;
  uint64_t weight = 0;
  for (const uint32_t target : targets) {
    if (target < dead.size() && dead[target]) continue;
    uint64_t mixed = (static_cast<uint64_t>(hash) << 32 | target) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 29)) * 0xbf58476d1ce4e5b9u;
    mixed ^= mixed >> 32;
    if (best != NO_VALUE && mixed <= weight) continue;
    best = target;
    weight = mixed;
  }
  return best;
}

}  // namespace

uint32_t Snapshot::route(bool six, const uint8_t* destination, uint32_t hash) const {
  const uint32_t value = routes.find(six, destination);
  if (value == NO_VALUE || (value & SET_BIT) == 0) return value;
  return choose(targetSets[value & ~SET_BIT], dead, hash);
}

bool Snapshot::routesTo(bool six, const uint8_t* source, uint32_t id) const {
  const uint32_t value = routes.find(six, source);
  if (value == NO_VALUE || (value & SET_BIT) == 0) return value == id;
  const std::vector<uint32_t>& targets = targetSets[value & ~SET_BIT];
  return std::find(targets.begin(), targets.end(), id) != targets.end();
}

std::string SnapshotBuilder::check(const Difference& difference) const {
  const auto known = [this](uint32_t id) { return id < plans_.size(); };
  const auto limit = " (peers are numbered below maximumPeers, " + std::to_string(plans_.size()) + ")";
  for (const uint32_t id : difference.removePeers)
    if (!known(id)) return "removePeers: " + std::to_string(id) + " is no peer" + limit;
  for (const PeerChange& peer : difference.upsertPeers)
    if (!known(peer.settings.id)) return "upsertPeers: " + std::to_string(peer.settings.id) + " is too large" + limit;
  for (const RouteChange& route : difference.upsertRoutes)
    for (const uint32_t target : route.targets)
      if (target != LOCAL_TARGET && !known(target))
        return "upsertRoutes: target " + std::to_string(target) + " is too large" + limit;
  return "";
}

uint32_t SnapshotBuilder::targetValue(const std::vector<uint32_t>& targets) {
  if (targets.size() == 1) return targets[0];
  const auto [entry, added] = targetIndex_.try_emplace(targets, static_cast<uint32_t>(targetSets_.size()));
  if (added) targetSets_.push_back(targets);
  return entry->second | SET_BIT;
}

void SnapshotBuilder::compactTargets() {
  if (targetSets_.size() < 64 || targetSets_.size() < 2 * routes_.size()) return;
  const auto old = std::move(targetSets_);
  targetSets_.clear();
  targetIndex_.clear();
  std::vector<uint32_t> values(old.size(), NO_VALUE);
  routes_.each([&](const uint32_t value) {
    if ((value & SET_BIT) == 0) return;
    uint32_t& moved = values[value & ~SET_BIT];
    if (moved == NO_VALUE) moved = targetValue(old[value & ~SET_BIT]);
  });
  routes_.replaceValues([&](uint32_t value) { return (value & SET_BIT) == 0 ? value : values[value & ~SET_BIT]; });
}

void SnapshotBuilder::change(const Difference& difference) {
  for (const Prefix& prefix : difference.removeRoutes) routes_.remove(prefix);
  for (const RouteChange& route : difference.upsertRoutes) routes_.set(route.prefix, targetValue(route.targets));
  compactTargets();
  if (difference.tunSourcesGiven) {
    anyTunSource_ = difference.tunSourcesAny;
    tunSources_.clear();
    for (const Prefix& prefix : difference.tunSources) tunSources_.set(prefix, 1);
  }
  if (difference.deadPeers) {
    std::fill(dead_.begin(), dead_.end(), 0);
    for (const uint32_t id : *difference.deadPeers)
      if (id < dead_.size()) dead_[id] = 1;
  }
}

std::unique_ptr<const Snapshot> SnapshotBuilder::build() {
  auto snapshot = std::make_unique<Snapshot>();
  snapshot->peers = plans_;
  snapshot->routes = routes_.build();
  snapshot->targetSets = targetSets_;
  snapshot->anyTunSource = anyTunSource_;
  snapshot->tunSources = tunSources_.build();
  snapshot->dead = dead_;
  return snapshot;
}

}  // namespace hawser
