#include "prefix_table.h"

#include <sys/random.h>

#include <bit>

namespace hawser {

uint64_t hashSeed() {
  static const uint64_t seed = [] {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) random = 0x9e3779b97f4a7c15u;
    return random | 1;
  }();
  return seed;
}

namespace {

template <class Groups, class Address>
void setIn(Groups& groups, unsigned length, Address address, uint32_t value) {
  auto& group = groups[length];
  auto [entry, added] = group.values.try_emplace(address, value);
  if (!added && entry->second == value) return;
  entry->second = value;
  group.built.reset();
}

template <class Groups, class Address>
bool removeFrom(Groups& groups, unsigned length, Address address) {
  const auto group = groups.find(length);
  if (group == groups.end() || group->second.values.erase(address) == 0) return false;
  group->second.built.reset();
  if (group->second.values.empty()) groups.erase(group);
  return true;
}

template <class Groups, class Address>
uint32_t getFrom(const Groups& groups, unsigned length, Address address) {
  const auto group = groups.find(length);
  if (group == groups.end()) return NO_VALUE;
  const auto entry = group->second.values.find(address);
  return entry == group->second.values.end() ? NO_VALUE : entry->second;
}

template <class Address, class Groups>
PrefixLevels<Address> buildLevels(Groups& groups) {
  PrefixLevels<Address> levels;
  for (auto& [length, group] : groups) {
    if (!group.built) {
      auto level = std::make_shared<PrefixLevel<Address>>();
      level->length = static_cast<uint8_t>(length);
      level->mask = prefixMask<Address>(length);
      level->seed = hashSeed();
      // At most half full, so that an unsuccessful lookup ends after two probes on average.
      const uint64_t slots = std::bit_ceil(group.values.size() * 2 + 1);
      level->slotMask = slots - 1;
      level->slots.assign(slots, {Address{0}, NO_VALUE});
      for (const auto& [address, value] : group.values) {
        uint64_t at = hashAddress(address, level->seed) & level->slotMask;
        while (level->slots[at].value != NO_VALUE) at = (at + 1) & level->slotMask;
        level->slots[at] = {address, value};
      }
      group.built = std::move(level);
    }
    levels.levels.push_back(group.built);
  }
  return levels;
}

}  // namespace

void PrefixMap::set(const Prefix& prefix, uint32_t value) {
  if (prefix.six)
    setIn(six_, prefix.length, prefix.sixteen, value);
  else
    setIn(four_, prefix.length, prefix.four, value);
}

bool PrefixMap::remove(const Prefix& prefix) {
  return prefix.six ? removeFrom(six_, prefix.length, prefix.sixteen) : removeFrom(four_, prefix.length, prefix.four);
}

uint32_t PrefixMap::get(const Prefix& prefix) const {
  return prefix.six ? getFrom(six_, prefix.length, prefix.sixteen) : getFrom(four_, prefix.length, prefix.four);
}

void PrefixMap::clear() {
  four_.clear();
  six_.clear();
}

size_t PrefixMap::size() const {
  size_t total = 0;
  for (const auto& [length, group] : four_) total += group.values.size();
  for (const auto& [length, group] : six_) total += group.values.size();
  return total;
}

PrefixTable PrefixMap::build() { return {buildLevels<Address4>(four_), buildLevels<Address6>(six_)}; }

}  // namespace hawser
