// ChaCha20-Poly1305 (RFC 8439) from libraries. None is linked: they are found at run time, checked with test vectors and
// measured, and the fastest is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hawser {

constexpr size_t AEAD_TAG = 16;
constexpr size_t AEAD_KEY = 32;

/** One thread's cipher context; not shared between threads. */
class Aead {
 public:
  virtual ~Aead() = default;
  /**
   * Encrypts `length` bytes in place and appends the tag. The nonce is WireGuard's: 4 zeros, counter. False: the library
   * failed, and `data` may still contain plaintext, so it must not be sent.
   */
  [[nodiscard]] virtual bool seal(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) = 0;
  /** Decrypts `length` bytes in place; the tag follows them. False: not authentic, and `data` is undefined. */
  [[nodiscard]] virtual bool open(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) = 0;
};

struct AeadLibrary {
  const char* name;
  /** nullopt if this machine lacks it. */
  std::unique_ptr<Aead> (*make)();
};

/** All implementations, usually the fastest first. */
const std::vector<AeadLibrary>& aeadLibraries();

struct AeadMeasurement {
  std::string name;
  double megabytesPerSecond;
  bool passed;
};

/** Test vectors and speed of one library; takes about 3 ms. Speed 0: this machine lacks it. */
AeadMeasurement measureAead(const AeadLibrary& library);

/** The fastest of `names` (empty: of all) that passes the test vectors; nullptr if none does. */
const AeadLibrary* chooseAead(const std::vector<std::string>& names);

/** A function of the program or of a loadable libcrypto; nullptr if there is none. */
void* findCryptoFunction(const char* name);

/** Zeroes keys so that the compiler does not optimize it away. */
void wipe(void* data, size_t length);

std::unique_ptr<Aead> makeIpsecMb();
std::unique_ptr<Aead> makeOpensslLowLevel();
std::unique_ptr<Aead> makeOpensslEvp();

}  // namespace hawser
