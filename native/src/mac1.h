// The MACs of handshake messages (WireGuard paper, section 5.4.4), so that a flood of rubbish costs JavaScript nothing, and a
// flood of strangers nothing to who holds a cookie. BLAKE2s comes from the program's OpenSSL.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace hawser {

/** One thread's keyed BLAKE2s with 16 bytes of output. */
class Mac1 {
 public:
  /** nullptr: the program has no BLAKE2s; then JavaScript must check. */
  static std::unique_ptr<Mac1> make();
  ~Mac1();
  Mac1(const Mac1&) = delete;

  /** `message` ends in mac1 and mac2. Key: `mac1Key`. */
  bool check(const uint8_t* key, const uint8_t* message, size_t length);
  /** The same for mac2: `cookie` is the MAC of the sender's address and port in text under `secret`. */
  bool checkCookie(const uint8_t* secret, const char* source, const uint8_t* message, size_t length);
  /** 16 bytes to `to`; false: OpenSSL failed. */
  bool mac(const uint8_t* key, size_t keyLength, const void* data, size_t length, uint8_t* to);

 private:
  explicit Mac1(void* context) : context_(context) {}
  void* context_;
};

/** BLAKE2s-256 of "mac1----" and the public key: the key of mac1. False: the program has no BLAKE2s. */
bool mac1Key(const uint8_t* publicKey, uint8_t* key);

}  // namespace hawser
