#include "x25519.h"

#include "aead.h"

namespace hawser {

namespace {

struct Functions {
  int (*multiply)(uint8_t* to, const uint8_t* privateKey, const uint8_t* publicKey);
  void (*publicKey)(uint8_t* to, const uint8_t* privateKey);

  Functions()
      : multiply(reinterpret_cast<decltype(multiply)>(findCryptoFunction("ossl_x25519"))),
        publicKey(reinterpret_cast<decltype(publicKey)>(findCryptoFunction("ossl_x25519_public_from_private"))) {}
};

const Functions& functions() {
  static const Functions found;
  return found;
}

}  // namespace

bool hasX25519() { return functions().multiply != nullptr && functions().publicKey != nullptr; }

bool x25519(uint8_t* to, const uint8_t* privateKey, const uint8_t* publicKey) {
  return functions().multiply(to, privateKey, publicKey) == 1;
}

void x25519PublicKey(uint8_t* to, const uint8_t* privateKey) { functions().publicKey(to, privateKey); }

}  // namespace hawser
