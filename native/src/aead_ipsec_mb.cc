// Intel's multi-buffer library (libipsec-mb), loaded at run time. Its functions are called through a structure whose layout
// depends on the version, so the build's header and the machine's library must have the same version.
#include "aead.h"

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)
#include <dlfcn.h>
#include <intel-ipsec-mb.h>

#include "bytes.h"

namespace hawser {

namespace {

struct Library {
  IMB_MGR* (*allocate)(uint64_t) = nullptr;
  void (*release)(IMB_MGR*) = nullptr;
  void (*init)(IMB_MGR*, IMB_ARCH*) = nullptr;

  Library() {
    void* const library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    const auto version = reinterpret_cast<unsigned (*)()>(dlsym(library, "imb_get_version"));
    if (!version || (version() >> 8) != (IMB_VERSION_NUM >> 8)) return;
    release = reinterpret_cast<void (*)(IMB_MGR*)>(dlsym(library, "free_mb_mgr"));
    init = reinterpret_cast<void (*)(IMB_MGR*, IMB_ARCH*)>(dlsym(library, "init_mb_mgr_auto"));
    if (release && init) allocate = reinterpret_cast<IMB_MGR* (*)(uint64_t)>(dlsym(library, "alloc_mb_mgr"));
  }
};

const Library& library() {
  static const Library* const loaded = new Library();
  return *loaded;
}

/** Uses the job interface, which is a tenth faster than the direct one since it keeps more state in registers. */
class IpsecMb final : public Aead {
 public:
  static std::unique_ptr<Aead> make() {
    if (!library().allocate) return nullptr;
    IMB_MGR* const manager = library().allocate(0);
    if (!manager) return nullptr;
    auto made = std::unique_ptr<Aead>(new IpsecMb(manager));
    IMB_ARCH architecture = IMB_ARCH_NONE;
    library().init(manager, &architecture);
    if (architecture == IMB_ARCH_NONE || manager->imb_errno != 0 || !manager->submit_job_nocheck) return nullptr;
    return made;
  }

  ~IpsecMb() override { library().release(manager_); }

  bool seal(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    return run(key, counter, data, length, data + length, IMB_DIR_ENCRYPT);
  }

  bool open(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length) override {
    uint8_t expected[AEAD_TAG];
    if (!run(key, counter, data, length, expected, IMB_DIR_DECRYPT)) return false;
    // Constant time, as for every comparison of tags.
    return ((load<uint64_t>(expected) ^ load<uint64_t>(data + length)) |
            (load<uint64_t>(expected + 8) ^ load<uint64_t>(data + length + 8))) == 0;
  }

 private:
  explicit IpsecMb(IMB_MGR* manager) : manager_(manager) {}

  bool run(const uint8_t* key, uint64_t counter, uint8_t* data, size_t length, uint8_t* tag,
           IMB_CIPHER_DIRECTION direction) {
    uint8_t nonce[12] = {};
    store<uint64_t>(nonce + 4, counter);
    IMB_JOB* const job = IMB_GET_NEXT_JOB(manager_);
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = direction;
    job->chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = key;
    job->dec_keys = key;
    job->key_len_in_bytes = AEAD_KEY;
    job->src = data;
    job->dst = data;
    job->cipher_start_src_offset_in_bytes = 0;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = length;
    job->msg_len_to_hash_in_bytes = length;
    job->iv = nonce;
    job->iv_len_in_bytes = sizeof nonce;
    // No associated data, but the pointer must not be null.
    job->u.CHACHA20_POLY1305.aad = nonce;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = AEAD_TAG;
    job->status = IMB_STATUS_BEING_PROCESSED;
    // This cipher completes before the call returns, so no job stays queued.
    const IMB_JOB* const done = IMB_SUBMIT_JOB_NOCHECK(manager_);
    return done != nullptr && done->status == IMB_STATUS_COMPLETED;
  }

  IMB_MGR* const manager_;
};

}  // namespace

std::unique_ptr<Aead> makeIpsecMb() { return IpsecMb::make(); }

}  // namespace hawser
#else
namespace hawser {
std::unique_ptr<Aead> makeIpsecMb() { return nullptr; }
}  // namespace hawser
#endif
