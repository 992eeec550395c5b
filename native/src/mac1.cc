#include "mac1.h"

#include "aead.h"
#include "bytes.h"

namespace hawser {

namespace {

// struct ossl_param_st of openssl/core.h (3.0), and OSSL_PARAM_UNSIGNED_INTEGER.
struct Parameter {
  const char* key;
  unsigned type;
  void* data;
  size_t size;
  size_t returned;
};
constexpr unsigned UNSIGNED_INTEGER = 2;

struct Functions {
  void* (*fetch)(void*, const char*, const char*);
  void* (*contextNew)(void* mac);
  void (*contextFree)(void*);
  int (*init)(void*, const unsigned char* key, size_t length, const Parameter*);
  int (*update)(void*, const unsigned char*, size_t);
  int (*final)(void*, unsigned char* out, size_t* length, size_t size);
  void* (*digestFetch)(void*, const char*, const char*);
  int (*digest)(const void* data, size_t count, unsigned char* out, unsigned* size, const void* type, void*);
  bool all = false;

  Functions() {
    all = find(fetch, "EVP_MAC_fetch") && find(contextNew, "EVP_MAC_CTX_new") && find(contextFree, "EVP_MAC_CTX_free") &&
          find(init, "EVP_MAC_init") && find(update, "EVP_MAC_update") && find(final, "EVP_MAC_final") &&
          find(digestFetch, "EVP_MD_fetch") && find(digest, "EVP_Digest");
  }

  template <class Function>
  static bool find(Function& function, const char* name) {
    function = reinterpret_cast<Function>(findCryptoFunction(name));
    return function != nullptr;
  }
};

const Functions& functions() {
  static const Functions found;
  return found;
}

}  // namespace

std::unique_ptr<Mac1> Mac1::make() {
  if (!functions().all) return nullptr;
  static void* const mac = functions().fetch(nullptr, "BLAKE2SMAC", nullptr);
  if (!mac) return nullptr;
  void* const context = functions().contextNew(mac);
  return context ? std::unique_ptr<Mac1>(new Mac1(context)) : nullptr;
}

Mac1::~Mac1() { functions().contextFree(context_); }

namespace {

/** In constant time, as for every comparison of MACs. */
bool same(const uint8_t* left, const uint8_t* right) {
  return ((load<uint64_t>(left) ^ load<uint64_t>(right)) | (load<uint64_t>(left + 8) ^ load<uint64_t>(right + 8))) == 0;
}

}  // namespace

bool Mac1::mac(const uint8_t* key, size_t keyLength, const void* data, size_t length, uint8_t* to) {
  size_t size = 16;
  const Parameter parameters[] = {{"size", UNSIGNED_INTEGER, &size, sizeof size, 0}, {nullptr, 0, nullptr, 0, 0}};
  uint8_t made[32];
  size_t written = 0;
  if (functions().init(context_, key, keyLength, parameters) != 1 ||
      functions().update(context_, static_cast<const unsigned char*>(data), length) != 1 ||
      functions().final(context_, made, &written, sizeof made) != 1 || written != 16)
    return false;
  std::memcpy(to, made, 16);
  return true;
}

bool Mac1::check(const uint8_t* key, const uint8_t* message, size_t length) {
  uint8_t expected[16];
  return length >= 32 && mac(key, 32, message, length - 32, expected) && same(expected, message + length - 32);
}

bool Mac1::checkCookie(const uint8_t* secret, const char* source, const uint8_t* message, size_t length) {
  static constexpr uint8_t NONE[16] = {};
  uint8_t cookie[16], expected[16];
  return length >= 32 && !same(NONE, message + length - 16) && mac(secret, 32, source, std::strlen(source), cookie) &&
         mac(cookie, 16, message, length - 16, expected) && same(expected, message + length - 16);
}

bool mac1Key(const uint8_t* publicKey, uint8_t* key) {
  if (!functions().all) return false;
  static void* const hash = functions().digestFetch(nullptr, "BLAKE2S-256", nullptr);
  if (!hash) return false;
  uint8_t labelled[40];
  std::memcpy(labelled, "mac1----", 8);
  std::memcpy(labelled + 8, publicKey, 32);
  unsigned size = 0;
  return functions().digest(labelled, sizeof labelled, key, &size, hash, nullptr) == 1 && size == 32;
}

}  // namespace hawser
