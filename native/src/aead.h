// ChaCha20-Poly1305 (RFC 8439) from libraries. None is linked: they are found at run time, checked by known answers,
// measured, and the best is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hawser {

constexpr size_t AEAD_TAG = 16;
constexpr size_t AEAD_KEY = 32;

/** One thread's way to seal and open; not shared between threads. */
class Aead {
 public:
  virtual ~Aead() = default;
  /**
   * Encrypts `length` bytes in place and writes the tag behind them. The nonce is WireGuard's: 4 zeros, counter. False: the
   * library failed, and `data` may hold what was to be hidden; it must not be sent.
   */
  [[nodiscard]] virtual bool seal(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) = 0;
  /** Decrypts `length` bytes in place; the tag follows them. False: not authentic, and `data` is of no use. */
  [[nodiscard]] virtual bool open(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) = 0;
};

struct AeadLibrary {
  const char* name;
  /** Nothing: this machine doesn't have it. */
  std::unique_ptr<Aead> (*make)();
};

/** All there are, in the order in which they are usually fastest. */
const std::vector<AeadLibrary>& aeadLibraries();

struct AeadMeasurement {
  std::string name;
  double megabytesPerSecond;
  bool passed;
};

/** Known answers and speed of one library; about 3 ms. Speed 0: the machine doesn't have it. */
AeadMeasurement measureAead(const AeadLibrary& library);

/** The fastest of `names` (empty: of all) that gives the known answers; nullptr: none does. */
const AeadLibrary* chooseAead(const std::vector<std::string>& names);

/** A function of the program or of the libcrypto that it can load; nullptr: there is none. */
void* findCryptoFunction(const char* name);

/** Zeroes keys in a way that the compiler keeps. */
void wipe(void* data, size_t length);

std::unique_ptr<Aead> makeIpsecMb();
std::unique_ptr<Aead> makeOpensslLowLevel();
std::unique_ptr<Aead> makeOpensslEvp();

}  // namespace hawser
