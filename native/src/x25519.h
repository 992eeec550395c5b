// X25519 (RFC 7748) of the program's OpenSSL on raw bytes, so that ephemeral secrets never get into objects that can't be erased.
#pragma once

#include <cstdint>

namespace hawser {

/** Whether the program has it; the other functions may be called only then. */
bool hasX25519();
/** `to`: 32 bytes. False: the result is zero, as for a point of low order (section 6.1). */
bool x25519(uint8_t* to, const uint8_t* privateKey, const uint8_t* publicKey);
void x25519PublicKey(uint8_t* to, const uint8_t* privateKey);

}  // namespace hawser
