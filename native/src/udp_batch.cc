#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#include "udp.h"

namespace hawser {

SendBatch::SendBatch(const UdpSockets& sockets, UdpFeatures& features, int stop)
    : sockets_(sockets), features_(features), stop_(stop), data_(new uint8_t[CAPACITY]) {}

void SendBatch::to(Peer* peer, const Endpoint& endpoint, uint8_t ecn) {
  continued_ = count_ != 0 && messages_[count_ - 1].peer == peer && messages_[count_ - 1].ecn == ecn && endpoint_.sameRemote(endpoint) &&
               endpoint_.sameLocal(endpoint);
  peer_ = peer;
  endpoint_ = endpoint;
  ecn_ = ecn;
}

uint8_t* SendBatch::reserve(size_t size) {
  if (used_ + size > CAPACITY || count_ == MESSAGES) flush();
  return data_.get() + used_;
}

void SendBatch::commit(size_t size) {
  const auto length = static_cast<uint32_t>(size);
  if (continued_) {
    Message& last = messages_[count_ - 1];
    if (!last.closed && length <= last.segment && last.count < SEGMENTS && last.length + length <= LONGEST) {
      last.length += length;
      last.count++;
      // Only the last datagram of a segmented message may be shorter.
      last.closed = length < last.segment;
      used_ += size;
      return;
    }
  }
  const bool single =
      !features_.segmentation.load(std::memory_order_relaxed) || (peer_ && peer_->sendSingly.load(std::memory_order_relaxed));
  messages_[count_++] = {endpoint_, peer_, static_cast<uint32_t>(used_), length, length, 1, ecn_, single};
  used_ += size;
  continued_ = true;
}

void SendBatch::prepare(size_t index, Message& message) {
  mmsghdr& header = headers_[index];
  memset(&header, 0, sizeof header);
  vectors_[index] = {data_.get() + message.offset, message.length};
  header.msg_hdr.msg_name = &addresses_[index];
  header.msg_hdr.msg_namelen = message.endpoint.socketAddress(addresses_[index]);
  header.msg_hdr.msg_iov = &vectors_[index];
  header.msg_hdr.msg_iovlen = 1;
  uint8_t* control = controls_[index];
  size_t at = 0;
  const auto append = [&](int level, int type, const void* value, size_t size) {
    cmsghdr part{};
    part.cmsg_len = CMSG_LEN(size);
    part.cmsg_level = level;
    part.cmsg_type = type;
    memcpy(control + at, &part, sizeof part);
    memcpy(control + at + CMSG_LEN(0), value, size);
    at += CMSG_SPACE(size);
  };
  if (message.endpoint.hasLocal()) {
    // Only the address is set; routing determines the interface.
    if (message.endpoint.version == 4) {
      in_pktinfo info{};
      memcpy(&info.ipi_spec_dst, message.endpoint.local, 4);
      append(IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
      in6_pktinfo info{};
      memcpy(&info.ipi6_addr, message.endpoint.local, 16);
      info.ipi6_ifindex = message.endpoint.scope;
      append(IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
  }
  if (message.ecn != 0) {
    const int trafficClass = message.ecn;
    if (message.endpoint.version == 4)
      append(IPPROTO_IP, IP_TOS, &trafficClass, sizeof trafficClass);
    else
      append(IPPROTO_IPV6, IPV6_TCLASS, &trafficClass, sizeof trafficClass);
  }
  if (message.count > 1) {
    const auto segment = static_cast<uint16_t>(message.segment);
    append(SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
  }
  header.msg_hdr.msg_control = at == 0 ? nullptr : control;
  header.msg_hdr.msg_controllen = at;
}

void SendBatch::waitWritable(int socket) {
  pollfd waits[2] = {{socket, POLLOUT, 0}, {stop_, POLLIN, 0}};
  poll(waits, stop_ < 0 ? 1 : 2, 20);
}

int SendBatch::sendOne(int socket, const Message& message, uint32_t offset, uint32_t length) {
  Message one = message;
  one.offset += offset;
  one.length = length;
  one.count = 1;
  // The first header may be in use by the failed batch; the last one is not.
  prepare(MESSAGES - 1, one);
  unsigned tries = 0;
  for (int attempt = 0;; attempt++) {
    if (sendmsg(socket, &headers_[MESSAGES - 1].msg_hdr, MSG_DONTWAIT) >= 0) return 0;
    const int error = errno;
    if (error == EAGAIN && attempt < 3)
      waitWritable(socket);
    else if (!probing_ && refusedForProbe(error, tries))
      continue;
    else if (error != EINTR || attempt >= 3)
      return error;
  }
}

/**
 * Whether a message was refused only because another thread is sending a path probe on the same socket: during these
 * microseconds no packet can be fragmented locally. It is sent again then.
 */
bool SendBatch::refusedForProbe(int error, unsigned& tries) const {
  if (error != EMSGSIZE && error != EINVAL) return false;
  const uint32_t now = features_.probes.load(std::memory_order_acquire);
  if ((now & 1) == 0 && now == probesSeen_) return false;
  // A probe that ended between the refusal and this check counts too; the number of repetitions is bounded.
  probesSeen_ = now & ~uint32_t{1};
  if (++tries > 200) return false;
  // Microseconds, or some milliseconds if the scheduler preempted the probing thread.
  if (tries <= 100)
    sched_yield();
  else
    poll(nullptr, 0, 1);
  return true;
}

bool SendBatch::sendPieces(int socket, Message& message) {
  bool all = true;
  for (uint32_t at = 0; at < message.length; at += message.segment) {
    const uint32_t length = std::min(message.segment, message.length - at);
    if (sendOne(socket, message, at, length) == 0) continue;
    if (message.peer) message.peer->counters.drop(Drop::SEND_FAILED);
    all = false;
  }
  return all;
}

/** After a refused message: sends it in another way, and disables the refused feature. False: it is lost, and counted. */
bool SendBatch::recover(int socket, Message& message, int error) {
  const bool refused = error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP;
  if (message.count > 1 && refused) {
    const int first = sendOne(socket, message, 0, message.segment);
    if (first == 0) {
      // EIO: the device can't; EINVAL and EMSGSIZE: the packets exceed this path's MTU and must be fragmented.
      if (error == EIO || error == EOPNOTSUPP)
        features_.segmentation = false;
      else if (message.peer)
        message.peer->sendSingly = true;
      message.offset += message.segment;
      message.length -= message.segment;
      message.count--;
      return message.length == 0 || sendPieces(socket, message);
    }
    error = first;
  }
  if (message.endpoint.hasLocal() && (error == EINVAL || error == ENETUNREACH || error == EADDRNOTAVAIL ||
                                      error == EHOSTUNREACH || error == ENODEV)) {
    // Our former source address no longer exists: let the kernel choose from now on.
    message.endpoint.clearLocal();
    if (message.peer) {
      Endpoint endpoint = message.peer->endpoint.load();
      if (endpoint.sameRemote(message.endpoint)) {
        endpoint.clearLocal();
        message.peer->endpoint.store(endpoint);
      }
    }
    return sendPieces(socket, message);
  }
  if (message.peer) message.peer->counters.drop(Drop::SEND_FAILED, message.count);
  return false;
}

void SendBatch::sendFamily(int socket, uint8_t version) {
  size_t count = 0;
  for (size_t at = 0; at < count_; at++)
    if (messages_[at].endpoint.version == version) order_[count++] = &messages_[at];
  if (count == 0) return;
  if (socket < 0) {
    for (size_t at = 0; at < count; at++)
      if (order_[at]->peer) order_[at]->peer->counters.drop(Drop::SEND_FAILED, order_[at]->count);
    return;
  }
  for (size_t at = 0; at < count; at++) prepare(at, *order_[at]);
  int waits = 0;
  unsigned tries = 0;
  for (size_t at = 0; at < count;) {
    const int sent = sendmmsg(socket, headers_ + at, static_cast<unsigned>(count - at), MSG_DONTWAIT);
    if (sent > 0) {
      at += static_cast<size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN && waits++ < 8) {
      waitWritable(socket);
      continue;
    }
    const int error = errno;
    if (refusedForProbe(error, tries)) continue;
    recover(socket, *order_[at], error);
    // The last header is reserved for single sends.
    if (at + 1 < count) prepare(count - 1, *order_[count - 1]);
    at++;
  }
}

bool SendBatch::flushWhole() {
  if (count_ == 0) return true;
  Message& message = messages_[0];
  const bool four = message.endpoint.version == 4;
  const int socket = four ? sockets_.four.get() : sockets_.six.get();
  const auto discover = [&](int how) {
    if (four)
      setsockopt(socket, IPPROTO_IP, IP_MTU_DISCOVER, &how, sizeof how);
    else
      setsockopt(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &how, sizeof how);
  };
  // IPv4 has no such option per message. Packets that other threads send in these few microseconds can't be fragmented
  // either; they see the counter and repeat the refused sends.
  static_assert(IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE && IP_PMTUDISC_DONT == IPV6_PMTUDISC_DONT);
  probing_ = true;
  features_.probes.fetch_add(1, std::memory_order_acq_rel);
  discover(IP_PMTUDISC_PROBE);
  const int error = socket < 0 ? 0 : sendOne(socket, message, 0, message.length);
  discover(IP_PMTUDISC_DONT);
  features_.probes.fetch_add(1, std::memory_order_acq_rel);
  probing_ = false;
  count_ = 0;
  used_ = 0;
  continued_ = false;
  // Any other failure is treated like a packet lost on the path.
  return error != EMSGSIZE;
}

void SendBatch::flush() {
  if (count_ == 0) return;
  sendFamily(sockets_.four.get(), 4);
  sendFamily(sockets_.six.get(), 6);
  count_ = 0;
  used_ = 0;
  continued_ = false;
}

ReceiveBatch::ReceiveBatch() : data_(new uint8_t[SIZE * MESSAGES]) {
  for (unsigned at = 0; at < MESSAGES; at++) vectors_[at] = {data_.get() + at * SIZE, SIZE};
}

int ReceiveBatch::receive(int socket) {
  for (unsigned at = 0; at < MESSAGES; at++) {
    headers_[at].msg_hdr = {};
    headers_[at].msg_hdr.msg_name = &addresses_[at];
    headers_[at].msg_hdr.msg_namelen = sizeof addresses_[at];
    headers_[at].msg_hdr.msg_iov = &vectors_[at];
    headers_[at].msg_hdr.msg_iovlen = 1;
    headers_[at].msg_hdr.msg_control = controls_[at];
    headers_[at].msg_hdr.msg_controllen = sizeof controls_[at];
  }
  for (;;) {
    const int count = recvmmsg(socket, headers_, MESSAGES, MSG_DONTWAIT, nullptr);
    if (count >= 0) return count;
    // Out of memory is not fatal: the message is lost, as any datagram may be.
    if (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS) return 0;
    if (errno != EINTR) return -errno;
  }
}

Received ReceiveBatch::message(int index) {
  msghdr& header = headers_[index].msg_hdr;
  const uint32_t length = headers_[index].msg_len;
  Received received{static_cast<uint8_t*>(vectors_[index].iov_base), length, length,
                    Endpoint::fromSocket(addresses_[index])};
  if (header.msg_flags & MSG_TRUNC) received.length = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level == SOL_UDP && part->cmsg_type == UDP_GRO) {
      int segment = 0;
      memcpy(&segment, CMSG_DATA(part), part->cmsg_len >= CMSG_LEN(sizeof segment) ? sizeof segment : 2);
      if (segment > 0) received.segment = static_cast<uint32_t>(segment);
    } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      memcpy(&info, CMSG_DATA(part), sizeof info);
      memcpy(received.source.local, &info.ipi_addr, 4);
    } else if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TOS) {
      received.ecn = *CMSG_DATA(part) & 3;
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_TCLASS) {
      int trafficClass;
      memcpy(&trafficClass, CMSG_DATA(part), sizeof trafficClass);
      received.ecn = trafficClass & 3;
    } else if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      memcpy(&info, CMSG_DATA(part), sizeof info);
      memcpy(received.source.local, &info.ipi6_addr, 16);
    }
  }
  return received;
}

}  // namespace hawser
