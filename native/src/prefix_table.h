// Longest prefix match: one hash table for each prefix length in use, longest first.
//
// Tables in use by packets are immutable. `PrefixMap` is the builder: it rebuilds only the tables of changed lengths and
// shares the others, so that changing a few pods among 10,000 costs one rebuild of the /32 table.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "address.h"

namespace hawser {

constexpr uint32_t NO_VALUE = 0xffffffff;

/** Odd multiplier of the tables' hash, random per process, so that outsiders cannot choose colliding prefixes. */
uint64_t hashSeed();

inline uint64_t hashAddress(Address4 address, uint64_t seed) {
  const uint64_t product = (address + 0x9e3779b97f4a7c15u) * seed;
  return product ^ (product >> 32);
}
inline uint64_t hashAddress(Address6 address, uint64_t seed) {
  const auto mixed = static_cast<Address6>(static_cast<uint64_t>(address >> 64) ^ 0x9e3779b97f4a7c15u) * seed;
  const uint64_t folded = static_cast<uint64_t>(mixed) ^ static_cast<uint64_t>(mixed >> 64);
  const uint64_t product = (folded ^ static_cast<uint64_t>(address)) * seed;
  return product ^ (product >> 32);
}

template <class Address>
struct PrefixLevel {
  struct Slot {
    Address address;
    uint32_t value;
  };
  uint8_t length;
  Address mask;
  uint64_t seed;
  uint64_t slotMask;
  std::vector<Slot> slots;

  uint32_t find(Address address) const {
    const Address key = address & mask;
    for (uint64_t at = hashAddress(key, seed) & slotMask;; at = (at + 1) & slotMask) {
      const Slot& slot = slots[at];
      if (slot.value == NO_VALUE) return NO_VALUE;
      if (slot.address == key) return slot.value;
    }
  }
};

template <class Address>
struct PrefixLevels {
  std::vector<std::shared_ptr<const PrefixLevel<Address>>> levels;

  uint32_t find(Address address) const {
    for (const auto& level : levels) {
      const uint32_t value = level->find(address);
      if (value != NO_VALUE) return value;
    }
    return NO_VALUE;
  }
};

/** Immutable; copying shares the tables. */
struct PrefixTable {
  PrefixLevels<Address4> four;
  PrefixLevels<Address6> six;

  /** `address` points to 4 or 16 bytes in network order. NO_VALUE if no prefix contains it. */
  uint32_t find(bool isSix, const uint8_t* address) const {
    return isSix ? six.find(loadAddress6(address)) : four.find(loadAddress4(address));
  }
};

struct Address6Hash {
  size_t operator()(Address6 address) const { return hashAddress(address, 0x9e3779b97f4a7c15u); }
};

/** The builder of `PrefixTable`. Values are below NO_VALUE. */
class PrefixMap {
 public:
  void set(const Prefix& prefix, uint32_t value);
  /** False if there was no such prefix. */
  bool remove(const Prefix& prefix);
  uint32_t get(const Prefix& prefix) const;
  void clear();
  size_t size() const;
  PrefixTable build();

  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [length, group] : four_)
      for (const auto& [address, value] : group.values) visit(value);
    for (const auto& [length, group] : six_)
      for (const auto& [address, value] : group.values) visit(value);
  }

  template <class Change>
  void replaceValues(Change change) {
    for (auto& [length, group] : four_) group.replace(change);
    for (auto& [length, group] : six_) group.replace(change);
  }

 private:
  template <class Address, class Hash>
  struct Group {
    std::unordered_map<Address, uint32_t, Hash> values;
    std::shared_ptr<const PrefixLevel<Address>> built;

    template <class Change>
    void replace(Change change) {
      for (auto& [address, value] : values) value = change(value);
      built.reset();
    }
  };
  template <class Address, class Hash>
  using Groups = std::map<unsigned, Group<Address, Hash>, std::greater<>>;

  Groups<Address4, std::hash<Address4>> four_;
  Groups<Address6, Address6Hash> six_;
};

}  // namespace hawser
