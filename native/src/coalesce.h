// Writing to the TUN device: packets of one flow that follow each other are merged into superpackets.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <vector>

#include "counters.h"
#include "segment.h"

namespace hawser {

struct TunFeatures;

/** A superpacket that grows. Its packets stay where they are until it is written. */
struct Merge {
  static constexpr unsigned PARTS = 128;

  uint8_t* first = nullptr;
  PacketInfo info;
  uint32_t headers = 0;
  uint32_t segment = 0;
  uint32_t payload = 0;
  uint32_t nextSequence = 0;
  /** Its last packet was short or pushed: nothing may follow. */
  bool closed = false;
  unsigned parts = 0;
  CounterRow counters;
  /** The virtio header, then the packets' pieces. */
  iovec vectors[PARTS + 1];
};

/** Whether a packet may be the first of a merge; then `merge` is set to it. Verifies its checksum. */
bool beginMerge(Merge& merge, uint8_t* packet, const PacketInfo& info, bool udp);
bool sameFlow(const Merge& merge, const uint8_t* packet, const PacketInfo& info);
/** Appends a packet of the same flow that directly follows. False: it can't be merged (or its checksum is wrong). */
bool extendMerge(Merge& merge, uint8_t* packet, const PacketInfo& info);
/** Sets the headers of the merged packet, and returns the virtio header that goes before it. */
VirtioHeader finishMerge(Merge& merge);

class TunWriter {
 public:
  /** One descriptor for each queue of the device. */
  TunWriter(std::vector<int> queues, const TunFeatures& features);
  TunWriter(const TunWriter&) = delete;

  /** Writes a packet now or at the next flush; until then its bytes must stay. Failures are counted to `counters`. */
  void add(uint8_t* packet, const PacketInfo& info, const CounterRow& counters);
  /** Writes one packet now, merged with nothing. */
  void write(uint8_t* packet, size_t length, const CounterRow& counters);
  void flush();

 private:
  static constexpr unsigned FLOWS = 8;

  void writeMerge(Merge& merge);
  void writeTo(int queue, uint8_t* packet, size_t length, const CounterRow& counters);
  int queueOf(const uint8_t* packet, const PacketInfo& info) const;

  const std::vector<int> queues_;
  const bool virtio_;
  const bool tcp_;
  bool udp_;
  unsigned open_ = 0;
  std::unique_ptr<Merge[]> merges_;
};

}  // namespace hawser
