// OpenSSL's ChaCha20-Poly1305 in the Node binary: the low-level functions, and EVP.
#include <cstring>

#include "aead.h"
#include "bytes.h"

namespace hawser {

namespace {

// Constant time, so that timing reveals nothing about a forged tag.
bool tagsEqual(const uint8_t* left, const uint8_t* right) {
  const uint64_t difference =
      (load<uint64_t>(left) ^ load<uint64_t>(right)) | (load<uint64_t>(left + 8) ^ load<uint64_t>(right + 8));
  return difference == 0;
}

using ChaCha20 = void (*)(unsigned char* out, const unsigned char* in, size_t length, const unsigned int key[8],
                          const unsigned int counter[4]);
using PolySize = size_t (*)();
using PolyInit = void (*)(void* context, const unsigned char key[32]);
using PolyUpdate = void (*)(void* context, const unsigned char* data, size_t length);
using PolyFinal = void (*)(void* context, unsigned char tag[16]);

class LowLevel final : public Aead {
 public:
  static std::unique_ptr<Aead> make() {
    auto made = std::unique_ptr<LowLevel>(new LowLevel());
    const auto size = reinterpret_cast<PolySize>(findCryptoFunction("Poly1305_ctx_size"));
    made->chacha_ = reinterpret_cast<ChaCha20>(findCryptoFunction("ChaCha20_ctr32"));
    made->init_ = reinterpret_cast<PolyInit>(findCryptoFunction("Poly1305_Init"));
    made->update_ = reinterpret_cast<PolyUpdate>(findCryptoFunction("Poly1305_Update"));
    made->final_ = reinterpret_cast<PolyFinal>(findCryptoFunction("Poly1305_Final"));
    if (!size || !made->chacha_ || !made->init_ || !made->update_ || !made->final_) return nullptr;
    if (size() > sizeof made->poly_) return nullptr;
    return made;
  }

  bool seal(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    begin(key, counter);
    block_[0] = 1;
    chacha_(data, data, length, key_, block_);
    tag(data, length, data + length);
    // These functions cannot fail.
    return true;
  }

  bool open(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    begin(key, counter);
    uint8_t expected[16];
    tag(data, length, expected);
    if (!tagsEqual(expected, data + length)) return false;
    block_[0] = 1;
    chacha_(data, data, length, key_, block_);
    return true;
  }

 private:
  void begin(const uint8_t* key, uint64_t counter) {
    std::memcpy(key_, key, 32);
    block_[0] = block_[1] = 0;
    block_[2] = static_cast<unsigned>(counter);
    block_[3] = static_cast<unsigned>(counter >> 32);
    // The one-time key is the first half of block 0 (RFC 8439, section 2.6).
    alignas(16) static const unsigned char zeros[64] = {};
    alignas(16) unsigned char first[64];
    chacha_(first, zeros, sizeof first, key_, block_);
    init_(poly_, first);
  }

  void tag(const uint8_t* data, size_t length, uint8_t* to) {
    static const unsigned char zeros[16] = {};
    update_(poly_, data, length);
    if (length % 16 != 0) update_(poly_, zeros, 16 - length % 16);
    uint8_t lengths[16] = {};
    store<uint64_t>(lengths + 8, length);
    update_(poly_, lengths, sizeof lengths);
    final_(poly_, to);
  }

  ~LowLevel() override {
    wipe(key_, sizeof key_);
    wipe(poly_, sizeof poly_);
  }

  friend std::default_delete<LowLevel>;
  LowLevel() = default;

  ChaCha20 chacha_ = nullptr;
  PolyInit init_ = nullptr;
  PolyUpdate update_ = nullptr;
  PolyFinal final_ = nullptr;
  unsigned key_[8];
  unsigned block_[4];
  alignas(64) unsigned char poly_[512];
};

// From openssl/evp.h (3.0): EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG.
constexpr int GET_TAG = 0x10;
constexpr int SET_TAG = 0x11;

struct EvpFunctions {
  void* (*fetch)(void* library, const char* name, const char* properties);
  void* (*contextNew)();
  void (*contextFree)(void*);
  int (*init)(void*, const void* cipher, const unsigned char* key, const unsigned char* iv, int encrypt, const void*);
  int (*update)(void*, unsigned char* out, int* outLength, const unsigned char* in, int length);
  int (*final)(void*, unsigned char* out, int* outLength);
  int (*control)(void*, int type, int argument, void* pointer);
};

template <class Function>
bool find(Function& function, const char* name) {
  function = reinterpret_cast<Function>(findCryptoFunction(name));
  return function != nullptr;
}

class Evp final : public Aead {
 public:
  static std::unique_ptr<Aead> make() {
    EvpFunctions functions;
    if (!find(functions.fetch, "EVP_CIPHER_fetch") || !find(functions.contextNew, "EVP_CIPHER_CTX_new") ||
        !find(functions.contextFree, "EVP_CIPHER_CTX_free") || !find(functions.init, "EVP_CipherInit_ex2") ||
        !find(functions.update, "EVP_CipherUpdate") || !find(functions.final, "EVP_CipherFinal_ex") ||
        !find(functions.control, "EVP_CIPHER_CTX_ctrl"))
      return nullptr;
    // Kept for the lifetime of the process.
    static void* const cipher = functions.fetch(nullptr, "ChaCha20-Poly1305", nullptr);
    if (!cipher) return nullptr;
    void* const sealing = functions.contextNew();
    void* const opening = functions.contextNew();
    if (!sealing || !opening || functions.init(sealing, cipher, nullptr, nullptr, 1, nullptr) != 1 ||
        functions.init(opening, cipher, nullptr, nullptr, 0, nullptr) != 1) {
      functions.contextFree(sealing);
      functions.contextFree(opening);
      return nullptr;
    }
    return std::unique_ptr<Aead>(new Evp(functions, sealing, opening));
  }

  bool seal(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    uint8_t nonce[12] = {};
    store<uint64_t>(nonce + 4, counter);
    int written = 0;
    // If the first call failed and the rest continued, the last packet's key stream would be reused.
    return functions_.init(sealing_, nullptr, key, nonce, -1, nullptr) == 1 &&
           functions_.update(sealing_, data, &written, data, static_cast<int>(length)) == 1 &&
           functions_.final(sealing_, data + written, &written) == 1 &&
           functions_.control(sealing_, GET_TAG, 16, data + length) == 1;
  }

  bool open(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    uint8_t nonce[12] = {};
    store<uint64_t>(nonce + 4, counter);
    int written = 0;
    return functions_.init(opening_, nullptr, key, nonce, -1, nullptr) == 1 &&
           functions_.control(opening_, SET_TAG, 16, data + length) == 1 &&
           functions_.update(opening_, data, &written, data, static_cast<int>(length)) == 1 &&
           functions_.final(opening_, data + written, &written) == 1;
  }

 private:
  Evp(const EvpFunctions& functions, void* sealing, void* opening)
      : functions_(functions), sealing_(sealing), opening_(opening) {}
  ~Evp() override {
    functions_.contextFree(sealing_);
    functions_.contextFree(opening_);
  }

  EvpFunctions functions_;
  void* sealing_;
  void* opening_;
};

}  // namespace

std::unique_ptr<Aead> makeOpensslLowLevel() { return LowLevel::make(); }
std::unique_ptr<Aead> makeOpensslEvp() { return Evp::make(); }

}  // namespace hawser
