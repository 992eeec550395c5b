// Addresses and prefixes as numbers.
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <optional>
#include <string>

#include "bytes.h"

namespace hawser {

using Address4 = uint32_t;
using Address6 = unsigned __int128;

inline Address4 loadAddress4(const uint8_t* from) { return loadBig32(from); }
inline Address6 loadAddress6(const uint8_t* from) {
  return (static_cast<Address6>(loadBig64(from)) << 64) | loadBig64(from + 8);
}
inline void storeAddress4(uint8_t* to, Address4 address) { storeBig32(to, address); }
inline void storeAddress6(uint8_t* to, Address6 address) {
  store<uint64_t>(to, __builtin_bswap64(static_cast<uint64_t>(address >> 64)));
  store<uint64_t>(to + 8, __builtin_bswap64(static_cast<uint64_t>(address)));
}

template <class Address>
inline Address prefixMask(unsigned length) {
  constexpr unsigned bits = sizeof(Address) * 8;
  return length == 0 ? Address{0} : static_cast<Address>(~Address{0} << (bits - length));
}

struct Prefix {
  bool six = false;
  uint8_t length = 0;
  Address4 four = 0;
  Address6 sixteen = 0;

  bool operator==(const Prefix&) const = default;
};

/** Strict: `10.0.0.0/8`, host bits zero; nullopt for any other text. */
inline std::optional<Prefix> parsePrefix(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos || slash + 1 >= text.size() || text.size() - slash > 4) return std::nullopt;
  unsigned length = 0;
  for (size_t at = slash + 1; at < text.size(); at++) {
    if (text[at] < '0' || text[at] > '9') return std::nullopt;
    length = length * 10 + static_cast<unsigned>(text[at] - '0');
  }
  const std::string host = text.substr(0, slash);
  uint8_t bytes[16];
  Prefix prefix;
  prefix.length = static_cast<uint8_t>(length);
  if (inet_pton(AF_INET, host.c_str(), bytes) == 1) {
    if (length > 32) return std::nullopt;
    prefix.four = loadAddress4(bytes);
    if ((prefix.four & ~prefixMask<Address4>(length)) != 0) return std::nullopt;
    return prefix;
  }
  if (inet_pton(AF_INET6, host.c_str(), bytes) == 1) {
    if (length > 128) return std::nullopt;
    prefix.six = true;
    prefix.sixteen = loadAddress6(bytes);
    if ((prefix.sixteen & ~prefixMask<Address6>(length)) != 0) return std::nullopt;
    return prefix;
  }
  return std::nullopt;
}

}  // namespace hawser
