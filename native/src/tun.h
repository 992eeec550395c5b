// The TUN device: created or taken over, with the offloads that the kernel supports.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <string>
#include <vector>

#include "descriptor.h"
#include "segment.h"

namespace hawser {

/** Features of the kernel; segmentation becomes false at run time when the kernel refuses a superpacket. */
struct TunFeatures {
  bool virtioHeader = false;
  std::atomic<bool> tcpSegmentation{false};
  std::atomic<bool> udpSegmentation{false};
};

class Tun {
 public:
  /** Creates the device, sets its MTU and brings it up. Returns an empty string, or the error with its reason and remedy. */
  std::string create(const std::string& name, unsigned mtu, unsigned queues);
  /** Takes over an open descriptor of a TUN device (and duplicates it). */
  std::string adopt(int descriptor);

  /** Uses a file that behaves like a TUN device with virtio headers and all offloads. */
  void use(Descriptor file) {
    queues_.push_back(std::move(file));
    features_.virtioHeader = features_.tcpSegmentation = features_.udpSegmentation = true;
  }

  const std::string& name() const { return name_; }
  const TunFeatures& features() const { return features_; }
  TunFeatures& features() { return features_; }
  unsigned mtu() const { return mtu_; }
  unsigned queues() const { return static_cast<unsigned>(queues_.size()); }
  int descriptor(unsigned queue) const { return queues_[queue].get(); }
  std::vector<int> descriptors() const {
    std::vector<int> all;
    for (const Descriptor& queue : queues_) all.push_back(queue.get());
    return all;
  }
  /** Reads the device's MTU from the kernel again; returns the last one if that fails. */
  unsigned readMtu();
  void close() { queues_.clear(); }

 private:
  void enableOffloads();

  std::string name_;
  std::vector<Descriptor> queues_;
  Descriptor control_;
  TunFeatures features_;
  unsigned mtu_ = 1420;
};

}  // namespace hawser
