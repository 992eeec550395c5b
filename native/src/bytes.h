// Unaligned loads and stores. Packets are never cast to structs; fields are copied.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace hawser {

static_assert(std::endian::native == std::endian::little, "the transport header is read as little-endian words");

template <class T>
inline T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
inline void store(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

inline uint16_t loadBig16(const void* from) { return __builtin_bswap16(load<uint16_t>(from)); }
inline uint32_t loadBig32(const void* from) { return __builtin_bswap32(load<uint32_t>(from)); }
inline uint64_t loadBig64(const void* from) { return __builtin_bswap64(load<uint64_t>(from)); }
inline void storeBig16(void* to, uint16_t value) { store<uint16_t>(to, __builtin_bswap16(value)); }
inline void storeBig32(void* to, uint32_t value) { store<uint32_t>(to, __builtin_bswap32(value)); }

}  // namespace hawser
