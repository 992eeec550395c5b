// A peer's address and port, and the local address that received its packets.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <optional>
#include <string>

namespace hawser {

struct Endpoint {
  /** 4 or 6; 0 means none. */
  uint8_t version = 0;
  uint16_t port = 0;
  /** Scope of a link-local address. */
  uint32_t scope = 0;
  uint8_t address[16] = {};
  /** The local address that received the packet; all zero: the kernel chooses. */
  uint8_t local[16] = {};

  bool hasLocal() const;
  bool sameRemote(const Endpoint& other) const;
  bool sameLocal(const Endpoint& other) const;
  void clearLocal();
  /** Fills `storage`; returns the length. */
  socklen_t socketAddress(sockaddr_storage& storage) const;
  static Endpoint fromSocket(const sockaddr_storage& storage);
};

std::optional<Endpoint> parseEndpoint(const std::string& text);
std::string formatEndpoint(const Endpoint& endpoint);
/** Buffer size for the text of any endpoint. */
constexpr size_t ENDPOINT_TEXT = 80;
/** Writes the text to `text`, zero-terminated. */
void formatEndpoint(const Endpoint& endpoint, char (&text)[ENDPOINT_TEXT]);
/** Text of the local address; empty if there is none. */
std::string formatLocal(const Endpoint& endpoint);
/** Sets the local address from text; false if it is not an address of the endpoint's version. */
bool parseLocal(const std::string& text, Endpoint& endpoint);

/** An endpoint that one thread writes while others read it: a seqlock over words. */
class EndpointCell {
 public:
  Endpoint load() const;
  void store(const Endpoint& endpoint);

 private:
  static constexpr int WORDS = 5;
  std::atomic<uint32_t> sequence_{0};
  std::atomic<uint64_t> words_[WORDS]{};
};

}  // namespace hawser
