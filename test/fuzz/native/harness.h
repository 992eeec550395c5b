// Common parts of the harnesses: the enabled planted bug, and readers of the input.
#pragma once

#include <cstdlib>

#include "../../../native/src/plant.h"
#include "../../native/unit/reference.h"

/** Enables the planted bug that the environment names, before the first input. */
inline const bool bugAwake = [] {
  const char* const number = std::getenv("HAWSER_PLANT_BUG");
  hawser::plantedBug = number ? std::atoi(number) : 0;
  return true;
}();

namespace reference {

/** The fuzzer's bytes, consumed from the front. */
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint8_t byte() {
    if (size_ == 0) return 0;
    size_--;
    return *data_++;
  }
  uint16_t word() { return static_cast<uint16_t>(byte() | byte() << 8); }
  /** A copy in an allocation of exactly this size, so that the sanitizer detects every overrun. */
  Bytes bytes(size_t count) {
    count = std::min(count, size_);
    Bytes taken(data_, data_ + count);
    taken.shrink_to_fit();
    data_ += count;
    size_ -= count;
    return taken;
  }
  Bytes rest() { return bytes(size_); }
  size_t left() const { return size_; }

 private:
  const uint8_t* data_;
  size_t size_;
};

/** Corrects the checksums of a parsable packet, so that the fuzzer needn't guess them. */
inline void repair(Bytes& packet) {
  hawser::PacketInfo info;
  if (hawser::parsePacket(packet.data(), packet.size(), info)) finishChecksums(packet);
}

/** Equality in which a ones' complement zero may have either of its two forms. */
inline bool sameButZeros(const Bytes& left, const Bytes& right) {
  if (left.size() != right.size()) return false;
  for (size_t at = 0; at < left.size(); at++) {
    if (left[at] == right[at]) continue;
    const size_t word = at & ~size_t{1};
    if (word + 1 >= left.size()) return false;
    const unsigned one = big16(&left[word]), other = big16(&right[word]);
    if (!((one == 0 && other == 0xffff) || (one == 0xffff && other == 0))) return false;
  }
  return true;
}

}  // namespace reference
