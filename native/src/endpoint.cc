#include "endpoint.h"

#include <arpa/inet.h>
#include <sched.h>

#include <cstdio>
#include <cstring>

#include "bytes.h"

namespace hawser {

bool Endpoint::hasLocal() const {
  static const uint8_t zeros[16] = {};
  return std::memcmp(local, zeros, 16) != 0;
}

bool Endpoint::sameRemote(const Endpoint& other) const {
  return version == other.version && port == other.port && scope == other.scope &&
         std::memcmp(address, other.address, 16) == 0;
}

bool Endpoint::sameLocal(const Endpoint& other) const { return std::memcmp(local, other.local, 16) == 0; }

void Endpoint::clearLocal() { std::memset(local, 0, sizeof local); }

socklen_t Endpoint::socketAddress(sockaddr_storage& storage) const {
  if (version == 4) {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    std::memcpy(&four.sin_addr, address, 4);
    std::memcpy(&storage, &four, sizeof four);
    return sizeof four;
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  six.sin6_scope_id = scope;
  std::memcpy(&six.sin6_addr, address, 16);
  std::memcpy(&storage, &six, sizeof six);
  return sizeof six;
}

Endpoint Endpoint::fromSocket(const sockaddr_storage& storage) {
  Endpoint endpoint;
  if (storage.ss_family == AF_INET) {
    sockaddr_in four;
    std::memcpy(&four, &storage, sizeof four);
    endpoint.version = 4;
    endpoint.port = ntohs(four.sin_port);
    std::memcpy(endpoint.address, &four.sin_addr, 4);
  } else if (storage.ss_family == AF_INET6) {
    sockaddr_in6 six;
    std::memcpy(&six, &storage, sizeof six);
    endpoint.version = 6;
    endpoint.port = ntohs(six.sin6_port);
    endpoint.scope = six.sin6_scope_id;
    std::memcpy(endpoint.address, &six.sin6_addr, 16);
  }
  return endpoint;
}

namespace {

bool parseNumber(const std::string& text, uint64_t limit, uint64_t& number) {
  if (text.empty() || text.size() > 10) return false;
  number = 0;
  for (const char character : text) {
    if (character < '0' || character > '9') return false;
    number = number * 10 + static_cast<uint64_t>(character - '0');
  }
  return number <= limit;
}

}  // namespace

std::optional<Endpoint> parseEndpoint(const std::string& text) {
  const size_t colon = text.rfind(':');
  uint64_t port = 0;
  if (colon == std::string::npos || !parseNumber(text.substr(colon + 1), 65535, port) || port == 0) return std::nullopt;
  Endpoint endpoint;
  endpoint.port = static_cast<uint16_t>(port);
  std::string host = text.substr(0, colon);
  if (!host.empty() && host.front() == '[') {
    if (host.back() != ']') return std::nullopt;
    host = host.substr(1, host.size() - 2);
    const size_t percent = host.find('%');
    if (percent != std::string::npos) {
      uint64_t scope = 0;
      if (!parseNumber(host.substr(percent + 1), 0xffffffff, scope)) return std::nullopt;
      endpoint.scope = static_cast<uint32_t>(scope);
      host.resize(percent);
    }
    endpoint.version = 6;
    if (inet_pton(AF_INET6, host.c_str(), endpoint.address) != 1) return std::nullopt;
    return endpoint;
  }
  endpoint.version = 4;
  if (inet_pton(AF_INET, host.c_str(), endpoint.address) != 1) return std::nullopt;
  return endpoint;
}

void formatEndpoint(const Endpoint& endpoint, char (&text)[ENDPOINT_TEXT]) {
  char address[INET6_ADDRSTRLEN];
  inet_ntop(endpoint.version == 4 ? AF_INET : AF_INET6, endpoint.address, address, sizeof address);
  if (endpoint.version == 4)
    std::snprintf(text, sizeof text, "%s:%u", address, unsigned{endpoint.port});
  else if (endpoint.scope == 0)
    std::snprintf(text, sizeof text, "[%s]:%u", address, unsigned{endpoint.port});
  else
    std::snprintf(text, sizeof text, "[%s%%%u]:%u", address, endpoint.scope, unsigned{endpoint.port});
}

std::string formatEndpoint(const Endpoint& endpoint) {
  char text[ENDPOINT_TEXT];
  formatEndpoint(endpoint, text);
  return text;
}

std::string formatLocal(const Endpoint& endpoint) {
  if (!endpoint.hasLocal()) return "";
  char text[INET6_ADDRSTRLEN];
  inet_ntop(endpoint.version == 4 ? AF_INET : AF_INET6, endpoint.local, text, sizeof text);
  return text;
}

bool parseLocal(const std::string& text, Endpoint& endpoint) {
  endpoint.clearLocal();
  return inet_pton(endpoint.version == 4 ? AF_INET : AF_INET6, text.c_str(), endpoint.local) == 1;
}

namespace {

/** Waits while another thread writes: nanoseconds, or longer if the scheduler preempts it. */
void waitForWriter(unsigned& tries) {
  if (++tries % 64 == 0) sched_yield();
#if defined(__x86_64__)
  else __builtin_ia32_pause();
#elif defined(__aarch64__)
  else __asm__ volatile("yield");
#endif
}

}  // namespace

Endpoint EndpointCell::load() const {
  uint64_t words[WORDS];
  for (unsigned tries = 0;;) {
    const uint32_t before = sequence_.load(std::memory_order_acquire);
    if (before & 1) {
      waitForWriter(tries);
      continue;
    }
    // Acquire, so that the second read of the sequence can't be reordered before them.
    for (int index = 0; index < WORDS; index++) words[index] = words_[index].load(std::memory_order_acquire);
    if (sequence_.load(std::memory_order_relaxed) == before) break;
  }
  Endpoint endpoint;
  endpoint.version = static_cast<uint8_t>(words[0]);
  endpoint.port = static_cast<uint16_t>(words[0] >> 16);
  endpoint.scope = static_cast<uint32_t>(words[0] >> 32);
  std::memcpy(endpoint.address, words + 1, 16);
  std::memcpy(endpoint.local, words + 3, 16);
  return endpoint;
}

void EndpointCell::store(const Endpoint& endpoint) {
  uint64_t words[WORDS];
  words[0] = endpoint.version | (static_cast<uint64_t>(endpoint.port) << 16) |
             (static_cast<uint64_t>(endpoint.scope) << 32);
  std::memcpy(words + 1, endpoint.address, 16);
  std::memcpy(words + 3, endpoint.local, 16);
  uint32_t before = sequence_.load(std::memory_order_relaxed);
  for (unsigned tries = 0;;) {
    if ((before & 1) == 0) {
      if (sequence_.compare_exchange_weak(before, before + 1, std::memory_order_acquire)) break;
      continue;
    }
    waitForWriter(tries);
    before = sequence_.load(std::memory_order_relaxed);
  }
  // Release, so that none of them is visible before the odd sequence.
  for (int index = 0; index < WORDS; index++) words_[index].store(words[index], std::memory_order_release);
  sequence_.store(before + 2, std::memory_order_release);
}

}  // namespace hawser
