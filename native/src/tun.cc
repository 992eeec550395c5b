#include "tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace hawser {

namespace {

// Since Linux 6.2; older headers lack them.
constexpr unsigned OFFLOAD_USO4 = 0x20;
constexpr unsigned OFFLOAD_USO6 = 0x40;

std::string because(const std::string& what) { return what + ": " + strerror(errno); }

std::string explainOpen() {
  if (errno == ENOENT)
    return "can't open /dev/net/tun: it doesn't exist (in a container, mount it from the host; on a host, load the "
           "module: modprobe tun)";
  if (errno == EPERM || errno == EACCES) return "can't open /dev/net/tun: not permitted (CAP_NET_ADMIN is needed)";
  return because("can't open /dev/net/tun");
}

std::string explainAttach(const std::string& name) {
  if (errno == EBUSY)
    return "can't make the TUN device " + name + ": a device of this name is in use by another process (end it, or "
           "remove the device: ip link del " + name + ")";
  if (errno == EINVAL)
    return "can't make the TUN device " + name + ": the name is taken by a device of another kind, or isn't a valid "
           "device name (see: ip link show " + name + ")";
  if (errno == EPERM) return "can't make the TUN device " + name + ": not permitted (CAP_NET_ADMIN is needed)";
  return because("can't make the TUN device " + name);
}

}  // namespace

std::string Tun::create(const std::string& name, unsigned mtu, unsigned queues) {
  if (name.empty() || name.size() >= IFNAMSIZ) return "a device's name has 1 to 15 characters, not: " + name;
  control_ = Descriptor(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control_.open()) return because("can't open a control socket");
  ifreq request{};
  memcpy(request.ifr_name, name.c_str(), name.size());
  if (ioctl(control_.get(), SIOCGIFINDEX, &request) == 0)
    return "can't make the TUN device " + name + ": a device of this name exists already (ip link del " + name + ")";
  for (unsigned queue = 0; queue < queues; queue++) {
    Descriptor file(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!file.open()) return explainOpen();
    ifreq attach{};
    memcpy(attach.ifr_name, name.c_str(), name.size());
    const int flags = IFF_TUN | IFF_NO_PI | (queues > 1 ? IFF_MULTI_QUEUE : 0);
    if (queue == 0 || features_.virtioHeader) {
      attach.ifr_flags = static_cast<short>(flags | IFF_VNET_HDR);
      if (ioctl(file.get(), TUNSETIFF, &attach) == 0) {
        features_.virtioHeader = true;
      } else if (queue > 0 || errno == EBUSY || errno == EPERM) {
        return explainAttach(name);
      }
    }
    if (!features_.virtioHeader) {
      attach.ifr_flags = static_cast<short>(flags);
      if (ioctl(file.get(), TUNSETIFF, &attach) != 0) return explainAttach(name);
    }
    name_ = attach.ifr_name;
    queues_.push_back(std::move(file));
    enableOffloads();
  }
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, name_.c_str(), name_.size());
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(control_.get(), SIOCSIFMTU, &request) != 0)
    return because("can't set the MTU of " + name_ + " to " + std::to_string(mtu));
  if (ioctl(control_.get(), SIOCGIFFLAGS, &request) != 0) return because("can't read the flags of " + name_);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(control_.get(), SIOCSIFFLAGS, &request) != 0) return because("can't bring " + name_ + " up");
  mtu_ = mtu;
  return "";
}

std::string Tun::adopt(int descriptor) {
  Descriptor file(fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
  if (!file.open()) return because("can't use file descriptor " + std::to_string(descriptor));
  ifreq request{};
  if (ioctl(file.get(), TUNGETIFF, &request) != 0)
    return because("file descriptor " + std::to_string(descriptor) + " is not a TUN device");
  if ((request.ifr_flags & IFF_TUN) == 0 || (request.ifr_flags & IFF_NO_PI) == 0)
    return "file descriptor " + std::to_string(descriptor) + " must be a TUN device with IFF_TUN and IFF_NO_PI";
  fcntl(file.get(), F_SETFL, fcntl(file.get(), F_GETFL) | O_NONBLOCK);
  control_ = Descriptor(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  features_.virtioHeader = (request.ifr_flags & IFF_VNET_HDR) != 0;
  name_ = request.ifr_name;
  queues_.push_back(std::move(file));
  enableOffloads();
  readMtu();
  return "";
}

void Tun::enableOffloads() {
  if (!features_.virtioHeader) return;
  const int file = queues_.back().get();
  const int size = sizeof(VirtioHeader);
  if (ioctl(file, TUNSETVNETHDRSZ, &size) != 0) {
    // The default is the same size.
  }
  const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(file, TUNSETOFFLOAD, tcp | OFFLOAD_USO4 | OFFLOAD_USO6) == 0) {
    features_.tcpSegmentation = true;
    features_.udpSegmentation = true;
  } else if (ioctl(file, TUNSETOFFLOAD, tcp) == 0) {
    features_.tcpSegmentation = true;
  } else {
    ioctl(file, TUNSETOFFLOAD, 0);
  }
}

unsigned Tun::readMtu() {
  ifreq request{};
  // The name may have changed since (ip link set name), so the kernel is queried.
  if (queues_.empty() || ioctl(queues_[0].get(), TUNGETIFF, &request) != 0) return mtu_;
  request.ifr_ifru = {};
  if (ioctl(control_.get(), SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0)
    mtu_ = static_cast<unsigned>(request.ifr_mtu);
  return mtu_;
}

}  // namespace hawser
