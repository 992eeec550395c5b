// Writing to the TUN device: consecutive packets of a flow are merged into superpackets.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <vector>

#include "counters.h"
#include "segment.h"

namespace hawser {

struct TunFeatures;

/** A superpacket under construction. Its packets stay in place until it is written. */
struct Merge {
  static constexpr unsigned PARTS = 128;

  uint8_t* first = nullptr;
  PacketInfo info;
  uint32_t headers = 0;
  uint32_t segment = 0;
  uint32_t payload = 0;
  uint32_t nextSequence = 0;
  /** The last packet was short or had PSH, so nothing may be appended. */
  bool closed = false;
  unsigned parts = 0;
  /** TCP flags of the first packet, and PSH of a later one. */
  uint8_t firstFlags = 0;
  CounterRow counters;
  /** The virtio header, then the packets' pieces. */
  iovec vectors[PARTS + 1];
};

/** Whether a packet may start a merge, in which case `merge` is initialized. Verifies its checksum. */
bool beginMerge(Merge& merge, uint8_t* packet, const PacketInfo& info, bool udp);
bool sameFlow(const Merge& merge, const uint8_t* packet, const PacketInfo& info);
/** Appends the next packet of the same flow. False: it can't be merged, or its checksum is wrong. */
bool extendMerge(Merge& merge, uint8_t* packet, const PacketInfo& info);
/** Sets the headers of the merged packet, and returns its virtio header. */
VirtioHeader finishMerge(Merge& merge);

/** Restores a packet of a finished merge; `part` counts from 0. Returns its length. */
size_t undoMerge(Merge& merge, unsigned part, uint8_t*& packet);

class TunWriter {
 public:
  using Write = ssize_t (*)(int, const iovec*, int);

  /** One descriptor per queue of the device. Tests pass another `writer`, to simulate a kernel that refuses writes. */
  TunWriter(std::vector<int> queues, TunFeatures& features, Write writer = ::writev);
  TunWriter(const TunWriter&) = delete;

  /** Writes a packet now or at the next flush; its bytes must stay valid until then. Failures are counted in `counters`. */
  void add(uint8_t* packet, const PacketInfo& info, const CounterRow& counters);
  /** Writes one packet now, without merging. */
  void write(uint8_t* packet, size_t length, const CounterRow& counters);
  void flush();

 private:
  static constexpr unsigned FLOWS = 8;

  void writeMerge(Merge& merge);
  void writeApart(Merge& merge, int queue);
  void writeTo(int queue, uint8_t* packet, size_t length, const CounterRow& counters);
  int queueOf(const uint8_t* packet, const PacketInfo& info) const;

  const std::vector<int> queues_;
  TunFeatures& features_;
  const Write write_;
  unsigned open_ = 0;
  std::unique_ptr<Merge[]> merges_;
};

}  // namespace hawser
