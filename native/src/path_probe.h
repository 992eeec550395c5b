// Path MTU probes inside a session (RFC 8899: packetization layer path MTU discovery). The encrypted payload is not an IP
// packet, so other WireGuard implementations drop it after authentication, as the paper requires (section 6). A Hawser peer
// answers with the size that it received. Sixteen bytes, little-endian, then zeros up to the probed size:
//
//   "\0HWM"  kind u32  token u32  size u32
#pragma once

#include <cstddef>
#include <cstdint>

#include "bytes.h"

namespace hawser {

constexpr size_t PATH_PROBE_HEADER = 16;

struct PathProbe {
  enum Kind : uint32_t { QUESTION = 1, ANSWER = 2 };
  uint32_t kind = QUESTION;
  uint32_t token = 0;
  /** Size of the request, bytes. */
  uint32_t size = 0;
};

/** The version field of an IP packet is 4 or 6. */
inline bool mayBePathProbe(const uint8_t* inner) { return inner[0] == 0; }

/** False for anything else. A request has exactly the length that it states, an answer only the header. */
inline bool readPathProbe(const uint8_t* inner, size_t length, PathProbe& probe) {
  static constexpr uint8_t MAGIC[4] = {0, 'H', 'W', 'M'};
  if (length < PATH_PROBE_HEADER || std::memcmp(inner, MAGIC, sizeof MAGIC) != 0) return false;
  probe.kind = load<uint32_t>(inner + 4);
  probe.token = load<uint32_t>(inner + 8);
  probe.size = load<uint32_t>(inner + 12);
  return (probe.kind == PathProbe::QUESTION && probe.size == length) ||
         (probe.kind == PathProbe::ANSWER && length == PATH_PROBE_HEADER);
}

inline void writePathProbe(uint8_t* inner, const PathProbe& probe) {
  const uint8_t magic[4] = {0, 'H', 'W', 'M'};
  std::memcpy(inner, magic, sizeof magic);
  store<uint32_t>(inner + 4, probe.kind);
  store<uint32_t>(inner + 8, probe.token);
  store<uint32_t>(inner + 12, probe.size);
}

}  // namespace hawser
