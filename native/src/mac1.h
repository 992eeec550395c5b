// The MACs of handshake messages (WireGuard paper, section 5.4.4), checked here so that floods of invalid messages don't reach
// JavaScript, and floods of strangers don't displace senders with a cookie. BLAKE2s comes from the program's OpenSSL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace hawser {

/** One thread's keyed BLAKE2s with 16 bytes of output. */
class Mac1 {
 public:
  /** nullptr if the program has no BLAKE2s; JavaScript must check then. */
  static std::unique_ptr<Mac1> make();
  ~Mac1();
  Mac1(const Mac1&) = delete;

  /** `message` ends in mac1 and mac2. Key: `mac1Key`. */
  bool check(const uint8_t* key, const uint8_t* message, size_t length);
  /** The same for mac2: `cookie` is the MAC of the sender's address and port in text under `secret`. */
  bool checkCookie(const uint8_t* secret, const char* source, const uint8_t* message, size_t length);
  /** Writes 16 bytes to `to`; false if OpenSSL failed. */
  bool mac(const uint8_t* key, size_t keyLength, const void* data, size_t length, uint8_t* to);

 private:
  explicit Mac1(void* context) : context_(context) {}
  void* context_;
};

/** BLAKE2s-256 of "mac1----" and the public key: the key of mac1. False if the program has no BLAKE2s. */
bool mac1Key(const uint8_t* publicKey, uint8_t* key);

}  // namespace hawser
