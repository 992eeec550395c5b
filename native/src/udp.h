// UDP sockets of the engine, and batches to and from them with segmentation offload.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "descriptor.h"
#include "endpoint.h"
#include "peer.h"

namespace hawser {

/** What the kernel granted; changes to false while running when a send is refused for it. */
struct UdpFeatures {
  std::atomic<bool> segmentation{false};
  std::atomic<bool> coalescing{false};
  std::atomic<bool> six{false};
  /** Odd while a path probe is sent, for which no packet of its socket may be fragmented; see `SendBatch::flushWhole`. */
  std::atomic<uint32_t> probes{0};
};

/** A socket of each family on one port; a pair of threads has its own (SO_REUSEPORT), so a peer's flow stays with one. */
struct UdpSockets {
  Descriptor four, six;
};

/**
 * Opens `count` pairs on `port` (0: any; then `port` is set). Empty: done; otherwise what failed and what helps.
 */
std::string openUdp(std::vector<UdpSockets>& sockets, unsigned count, uint16_t& port, uint32_t mark,
                    UdpFeatures& features);
/** Sets SO_MARK of all; the error's number, or 0. */
int markUdp(const std::vector<UdpSockets>& sockets, uint32_t mark);

/** Sealed packets on their way: laid side by side, sent together, as few messages as their sizes allow. */
class SendBatch {
 public:
  /** `stop` wakes a send that waits for room. */
  SendBatch(const UdpSockets& sockets, UdpFeatures& features, int stop);
  SendBatch(const SendBatch&) = delete;

  /** The packets that follow go to `endpoint`, with `ecn` in their IP header; failures are counted to `peer` (may be null). */
  void to(Peer* peer, const Endpoint& endpoint, uint8_t ecn);
  /** Room for a packet of up to `size` bytes; flushes when there is none. */
  uint8_t* reserve(size_t size);
  /** The packet in the reserved room is complete. */
  void commit(size_t size);
  void flush();
  /** Sends the one packet that was collected so that no router may fragment it. False: it is too big for the way out. */
  bool flushWhole();
  bool empty() const { return count_ == 0; }
  size_t bytes() const { return used_; }
  size_t messages() const { return count_; }

 private:
  static constexpr size_t CAPACITY = 192 * 1024;
  static constexpr size_t MESSAGES = 64;
  /** UDP_MAX_SEGMENTS before Linux 6.9. */
  static constexpr uint32_t SEGMENTS = 64;
  static constexpr uint32_t LONGEST = 65507;

  struct Message {
    Endpoint endpoint;
    Peer* peer;
    uint32_t offset;
    uint32_t length;
    uint32_t segment;
    uint32_t count;
    uint8_t ecn;
    bool closed;
  };

  void sendFamily(int socket, uint8_t version);
  void prepare(size_t index, Message& message);
  bool refusedForProbe(int error, unsigned& tries) const;
  bool recover(int socket, Message& message, int error);
  bool sendPieces(int socket, Message& message);
  int sendOne(int socket, const Message& message, uint32_t offset, uint32_t length);
  void waitWritable(int socket);

  const UdpSockets& sockets_;
  UdpFeatures& features_;
  const int stop_;
  std::unique_ptr<uint8_t[]> data_;
  size_t used_ = 0;
  size_t count_ = 0;
  bool continued_ = false;
  bool probing_ = false;
  /** Of `UdpFeatures::probes`. */
  mutable uint32_t probesSeen_ = 0;
  Peer* peer_ = nullptr;
  Endpoint endpoint_;
  uint8_t ecn_ = 0;
  Message messages_[MESSAGES];
  mmsghdr headers_[MESSAGES];
  iovec vectors_[MESSAGES];
  sockaddr_storage addresses_[MESSAGES];
  alignas(8) uint8_t controls_[MESSAGES][96];
  Message* order_[MESSAGES];
};

/** One UDP message as received: maybe several datagrams of one sender side by side. */
struct Received {
  uint8_t* data;
  uint32_t length;
  /** All datagrams but the last are of this size. */
  uint32_t segment;
  Endpoint source;
  /** Of the IP header; coalescing joins datagrams of the same only. */
  uint8_t ecn = 0;
};

class ReceiveBatch {
 public:
  static constexpr unsigned MESSAGES = 16;

  ReceiveBatch();
  ReceiveBatch(const ReceiveBatch&) = delete;
  /** How many messages came; 0: none waits; below 0: the error's number, negative. */
  int receive(int socket);
  Received message(int index);

 private:
  static constexpr size_t SIZE = 65536;
  std::unique_ptr<uint8_t[]> data_;
  mmsghdr headers_[MESSAGES];
  iovec vectors_[MESSAGES];
  sockaddr_storage addresses_[MESSAGES];
  alignas(8) uint8_t controls_[MESSAGES][128];
};

}  // namespace hawser
