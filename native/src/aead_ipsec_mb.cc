// Intel's multi-buffer library (libipsec-mb), loaded at run time. Its functions are reached through a structure whose
// layout belongs to a version, so the header of the build and the library of the machine must be of the same one.
#include "aead.h"

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#include <dlfcn.h>
#include <intel-ipsec-mb.h>

#include "bytes.h"

namespace hawser {

namespace {

struct Library {
  IMB_MGR* manager = nullptr;

  Library() {
    void* const library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    const auto version = reinterpret_cast<unsigned (*)()>(dlsym(library, "imb_get_version"));
    const auto allocate = reinterpret_cast<IMB_MGR* (*)(uint64_t)>(dlsym(library, "alloc_mb_mgr"));
    const auto init = reinterpret_cast<void (*)(IMB_MGR*, IMB_ARCH*)>(dlsym(library, "init_mb_mgr_auto"));
    if (!version || !allocate || !init || (version() >> 8) != (IMB_VERSION_NUM >> 8)) return;
    IMB_MGR* const made = allocate(0);
    if (!made) return;
    IMB_ARCH architecture = IMB_ARCH_NONE;
    init(made, &architecture);
    if (architecture == IMB_ARCH_NONE || made->imb_errno != 0 || !made->chacha20_poly1305_init) return;
    manager = made;
  }
};

class IpsecMb final : public Aead {
 public:
  explicit IpsecMb(const IMB_MGR& manager)
      : init_(manager.chacha20_poly1305_init),
        encrypt_(manager.chacha20_poly1305_enc_update),
        decrypt_(manager.chacha20_poly1305_dec_update),
        final_(manager.chacha20_poly1305_finalize) {}

  ~IpsecMb() override { wipe(&context_, sizeof context_); }

  void seal(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    begin(key, counter);
    if (length != 0) encrypt_(key, &context_, data, data, length);
    final_(&context_, data + length, AEAD_TAG);
  }

  bool open(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    begin(key, counter);
    uint8_t expected[AEAD_TAG];
    if (length != 0) decrypt_(key, &context_, data, data, length);
    final_(&context_, expected, AEAD_TAG);
    // Constant time, as for every comparison of tags.
    return ((load<uint64_t>(expected) ^ load<uint64_t>(data + length)) |
            (load<uint64_t>(expected + 8) ^ load<uint64_t>(data + length + 8))) == 0;
  }

 private:
  void begin(const uint8_t* key, uint64_t counter) {
    uint8_t nonce[12] = {};
    store<uint64_t>(nonce + 4, counter);
    // No associated data; the pointer must not be null all the same.
    init_(key, &context_, nonce, nonce, 0);
  }

  chacha_poly_init_t init_;
  chacha_poly_enc_dec_update_t encrypt_;
  chacha_poly_enc_dec_update_t decrypt_;
  chacha_poly_finalize_t final_;
  alignas(64) chacha20_poly1305_context_data context_;
};

}  // namespace

std::unique_ptr<Aead> makeIpsecMb() {
  // One for the process, never freed: only its table of functions is used, the state is each thread's own.
  static const Library* const library = new Library();
  if (!library->manager) return nullptr;
  return std::make_unique<IpsecMb>(*library->manager);
}

}  // namespace hawser
#else
namespace hawser {
std::unique_ptr<Aead> makeIpsecMb() { return nullptr; }
}  // namespace hawser
#endif
