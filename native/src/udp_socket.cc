#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#include "udp.h"

namespace hawser {

namespace {

/** Buffer for some milliseconds at several Gbit/s; more would only add latency. */
constexpr int BUFFER = 4 << 20;

void setOption(int file, int level, int name, int value) { setsockopt(file, level, name, &value, sizeof value); }

void setBuffer(int file, int force, int plain) {
  const int size = BUFFER;
  // Exceeding the sysctl's limit requires CAP_NET_ADMIN, which an engine that created its TUN has.
  if (setsockopt(file, SOL_SOCKET, force, &size, sizeof size) != 0) setOption(file, SOL_SOCKET, plain, size);
}

/** How one of several sockets binds to their port. `FIRST` checks that the port is free and then lets the others join. */
enum class Share : uint8_t { ALONE, FIRST, JOIN };

std::string openOne(Descriptor& to, int family, Share share, uint16_t& port, uint32_t mark, UdpFeatures& features) {
  Descriptor file(socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!file.open()) return std::string("can't open a UDP socket: ") + strerror(errno);
  if (share == Share::JOIN) setOption(file.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  sockaddr_storage address{};
  socklen_t length;
  if (family == AF_INET) {
    setOption(file.get(), IPPROTO_IP, IP_PKTINFO, 1);
    setOption(file.get(), IPPROTO_IP, IP_RECVTOS, 1);
    // The outer packet may be fragmented on its path, as in the kernel's WireGuard.
    setOption(file.get(), IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    auto* four = reinterpret_cast<sockaddr_in*>(&address);
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    length = sizeof(sockaddr_in);
  } else {
    setOption(file.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    setOption(file.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    setOption(file.get(), IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    setOption(file.get(), IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
    auto* six = reinterpret_cast<sockaddr_in6*>(&address);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(port);
    length = sizeof(sockaddr_in6);
  }
  setBuffer(file.get(), SO_RCVBUFFORCE, SO_RCVBUF);
  setBuffer(file.get(), SO_SNDBUFFORCE, SO_SNDBUF);
  if (mark != 0 && setsockopt(file.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
    return std::string("can't set the mark of the UDP socket: ") + strerror(errno) + " (CAP_NET_ADMIN is needed)";
  if (bind(file.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
    std::string text = "can't listen on UDP port " + std::to_string(port) + ": " + strerror(errno);
    if (errno == EADDRINUSE) text += " (another program has it; choose another port, or 0 for any)";
    return text;
  }
  // Only now: set earlier, it would join the group of another program of the same user, and take half of its packets.
  if (share == Share::FIRST) setOption(file.get(), SOL_SOCKET, SO_REUSEPORT, 1);
  length = sizeof address;
  if (getsockname(file.get(), reinterpret_cast<sockaddr*>(&address), &length) == 0)
    port = Endpoint::fromSocket(address).port;
  int segment = 0;
  if (setsockopt(file.get(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0) features.segmentation = true;
  const int on = 1;
  if (setsockopt(file.get(), IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0) features.coalescing = true;
  to = std::move(file);
  return "";
}

bool hasSix() {
  const Descriptor probe(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe.open()) return false;
  // Where a sysctl disables IPv6 the socket opens but cannot bind.
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  return bind(probe.get(), reinterpret_cast<sockaddr*>(&any), sizeof any) == 0;
}

}  // namespace

std::string openUdp(std::vector<UdpSockets>& sockets, unsigned count, uint16_t& port, uint32_t mark,
                    UdpFeatures& features) {
  const uint16_t asked = port;
  const bool six = hasSix();
  std::string error;
  // A port that is free in one family may be taken in the other; then another one is tried.
  for (int attempt = 0; attempt < 16; attempt++) {
    std::vector<UdpSockets> opened(count);
    port = asked;
    error.clear();
    for (unsigned pair = 0; pair < count && error.empty(); pair++) {
      const Share share = count == 1 ? Share::ALONE : pair == 0 ? Share::FIRST : Share::JOIN;
      error = openOne(opened[pair].four, AF_INET, share, port, mark, features);
      if (error.empty() && six) error = openOne(opened[pair].six, AF_INET6, share, port, mark, features);
    }
    if (error.empty()) {
      features.six = six;
      sockets = std::move(opened);
      return "";
    }
    if (asked != 0) return error;
  }
  return error;
}

int markUdp(const std::vector<UdpSockets>& sockets, uint32_t mark) {
  for (const UdpSockets& pair : sockets) {
    if (setsockopt(pair.four.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) return errno;
    if (pair.six.open() && setsockopt(pair.six.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) return errno;
  }
  return 0;
}

}  // namespace hawser
