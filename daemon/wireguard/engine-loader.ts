/** The one place that loads the native addon. */
import { Engine, interfaceIndex, interfaceName, x25519 } from '../../native/index.js';
import type { EngineOptions } from '../../native/index.js';

/** X25519 of the OpenSSL in the Node binary, used if it agrees with libsodium's; `null` if the binary exports none. */
export const platformX25519: typeof x25519 = x25519;

/** Opens TUN and UDP and starts the packet threads; throws the kernel's error. */
export function makeEngine(options: EngineOptions): Engine {
  return new Engine(options);
}

export { interfaceIndex, interfaceName };
