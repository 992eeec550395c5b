/** The one place that loads the native addon. */
import { Engine } from '../../native/index.js';
import type { EngineOptions } from '../../native/index.js';

/** Opens TUN and UDP and starts the packet threads; throws what the kernel says. */
export function makeEngine(options: EngineOptions): Engine {
  return new Engine(options);
}
