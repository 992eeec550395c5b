// The loops of the packet threads.
#include <errno.h>
#include <poll.h>
#include <sys/uio.h>

#include "engine.h"

namespace hawser {

namespace {

/** Packets from the TUN that are encrypted per batch: enough for one full send, few enough for low latency. */
constexpr int READS = 64;
constexpr size_t BATCH_BYTES = 120 * 1024;
/** Interval at which the device's MTU is read while packets flow. */
constexpr uint64_t MTU_INTERVAL = SECOND;

void takeWake(const Descriptor& wake) {
  uint64_t count;
  if (read(wake.get(), &count, sizeof count) < 0) {
    // Nothing to read: the thread was woken for another reason.
  }
}

}  // namespace

void Engine::runTun(PacketThread& own, unsigned pair) {
  Core& core = *core_;
  Worker& worker = *own.worker;
  const int tun = core.tun.descriptor(pair);
  const bool virtio = core.tun.features().virtioHeader;
  const std::unique_ptr<uint8_t[]> buffer(new uint8_t[65536 + 64]);
  uint64_t mtuReadAt = 0;
  int error = 0;
  while (!core.stopping.load(std::memory_order_relaxed)) {
    own.reader->enter();
    worker.tick();
    const Snapshot& snapshot = *core.snapshot.load(std::memory_order_seq_cst);
    bool drained = false;
    for (int reads = 0; reads < READS && worker.batch().bytes() < BATCH_BYTES; reads++) {
      VirtioHeader header{};
      iovec vectors[2] = {{&header, sizeof header}, {buffer.get(), 65536}};
      ssize_t length = virtio ? readv(tun, vectors, 2) : read(tun, buffer.get(), 65536);
      if (length < 0) {
        if (errno == EINTR) continue;
        drained = true;
        if (errno != EAGAIN) error = errno;
        break;
      }
      if (virtio) length -= static_cast<ssize_t>(sizeof header);
      if (length > 0) worker.fromTun(snapshot, buffer.get(), static_cast<size_t>(length), header);
    }
    worker.flush();
    if (error != 0) break;
    if (!drained) continue;
    own.reader->leave();
    if (pair == 0 && worker.now() - mtuReadAt > MTU_INTERVAL) {
      mtuReadAt = worker.now();
      core.tunMtu.store(core.tun.readMtu(), std::memory_order_relaxed);
    }
    pollfd waits[2] = {{tun, POLLIN, 0}, {own.wake.get(), POLLIN, 0}};
    poll(waits, 2, -1);
    if (waits[1].revents != 0) takeWake(own.wake);
    // A removed device: the next read reports it, unless there is still data to read.
    if ((waits[0].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 && (waits[0].revents & POLLIN) == 0) {
      error = ENODEV;
      break;
    }
  }
  own.reader->leave();
  if (error != 0) failed(EventType::TUN_CLOSED, error);
}

void Engine::runUdp(PacketThread& own, unsigned pair) {
  Core& core = *core_;
  Worker& worker = *own.worker;
  ReceiveBatch received;
  const int sockets[2] = {core.sockets[pair].four.get(), core.sockets[pair].six.get()};
  int error = 0;
  while (!core.stopping.load(std::memory_order_relaxed) && error == 0) {
    pollfd waits[3] = {{own.wake.get(), POLLIN, 0}, {sockets[0], POLLIN, 0}, {sockets[1], POLLIN, 0}};
    // A missing socket has a negative descriptor, which poll ignores.
    if (poll(waits, 3, -1) < 0) continue;
    if (waits[0].revents != 0) takeWake(own.wake);
    for (int family = 0; family < 2 && error == 0; family++) {
      if (waits[1 + family].revents == 0) continue;
      for (bool more = true; more && !core.stopping.load(std::memory_order_relaxed);) {
        const int count = received.receive(sockets[family]);
        // An error caused by an earlier send (ICMP) does not affect receiving.
        if (count < 0 && count != -ECONNREFUSED && count != -EHOSTUNREACH && count != -ENETUNREACH) error = -count;
        if (count <= 0) break;
        own.reader->enter();
        worker.tick();
        const Snapshot& snapshot = *core.snapshot.load(std::memory_order_seq_cst);
        for (int index = 0; index < count; index++) {
          const Received message = received.message(index);
          worker.fromUdp(snapshot, message.data, message.length, message.segment, message.source, message.ecn);
        }
        worker.flush();
        own.reader->leave();
        more = count == static_cast<int>(ReceiveBatch::MESSAGES);
      }
    }
  }
  if (error != 0) failed(EventType::UDP_FAILED, error);
}

}  // namespace hawser
