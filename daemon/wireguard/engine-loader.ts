/** The one place that loads the native addon. */
import { Engine, interfaceIndex, interfaceName, x25519 } from '../../native/index.js';
import type { EngineOptions } from '../../native/index.js';

/** X25519 of the program's OpenSSL, to be adopted if it agrees with libsodium's; `null`: the program has none. */
export const platformX25519: typeof x25519 = x25519;

/** Opens TUN and UDP and starts the packet threads; throws what the kernel says. */
export function makeEngine(options: EngineOptions): Engine {
  return new Engine(options);
}

export { interfaceIndex, interfaceName };
