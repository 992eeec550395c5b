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

/** Features of the kernel; one becomes false at run time when a send is refused because of it. */
struct UdpFeatures {
  std::atomic<bool> segmentation{false};
  std::atomic<bool> coalescing{false};
  std::atomic<bool> six{false};
  /** Odd while a path probe is being sent, during which the socket's packets have DF set; see `SendBatch::flushWhole`. */
  std::atomic<uint32_t> probes{0};
};

/** One socket per family on one port; each pair of threads has its own (SO_REUSEPORT), so a peer's flow stays on one thread. */
struct UdpSockets {
  Descriptor four, six;
};

/**
 * Opens `count` pairs on `port` (0: any, then `port` is set). Returns an empty string, or the error with its remedy.
 */
std::string openUdp(std::vector<UdpSockets>& sockets, unsigned count, uint16_t& port, uint32_t mark,
                    UdpFeatures& features);
/** Sets SO_MARK of all sockets; returns errno, or 0. */
int markUdp(const std::vector<UdpSockets>& sockets, uint32_t mark);

/** Collects encrypted packets in one buffer and sends them in as few messages as their sizes allow. */
class SendBatch {
 public:
  /** `stop` wakes a send that waits for buffer space. */
  SendBatch(const UdpSockets& sockets, UdpFeatures& features, int stop);
  SendBatch(const SendBatch&) = delete;

  /** Sets destination and `ecn` of the following packets; failures are counted for `peer` (may be null). */
  void to(Peer* peer, const Endpoint& endpoint, uint8_t ecn);
  /** Reserves a buffer for a packet of up to `size` bytes; flushes if there is no room. */
  uint8_t* reserve(size_t size);
  /** Completes the packet in the reserved buffer. */
  void commit(size_t size);
  void flush();
  /** Sends the single collected packet with DF set. False: it exceeds the MTU of the local interface. */
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
  /** Last seen value of `UdpFeatures::probes`. */
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

/** One received UDP message, which may contain several coalesced datagrams of one sender. */
struct Received {
  uint8_t* data;
  uint32_t length;
  /** Size of all datagrams but the last. */
  uint32_t segment;
  Endpoint source;
  /** ECN of the IP header; only datagrams with the same value are coalesced. */
  uint8_t ecn = 0;
};

class ReceiveBatch {
 public:
  static constexpr unsigned MESSAGES = 16;

  ReceiveBatch();
  ReceiveBatch(const ReceiveBatch&) = delete;
  /** Number of received messages; 0 if none was queued; negative errno on error. */
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
