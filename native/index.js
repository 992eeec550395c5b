// Loads the packet engine; see index.d.ts for its interface.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

function load() {
  const path = new URL('./build/Release/hawser.node', import.meta.url).pathname;
  try {
    return require(path);
  } catch (error) {
    throw new Error(`can't load the packet engine from ${path}; build it with: npm run build:native`, {
      cause: error,
    });
  }
}

const binding = load();
const DEFAULT_MAXIMUM_PEERS = 1024;

export class Engine extends binding.Engine {
  constructor(options) {
    const rows = (options.maximumPeers ?? DEFAULT_MAXIMUM_PEERS) + 1;
    // Made here: Node-API has no way to make shared memory that other threads' JavaScript may see.
    const counters = new BigUint64Array(new SharedArrayBuffer(rows * binding.counterLayout.stride * 8));
    super(options, counters);
    this.counters = counters;
    this.counterLayout = binding.counterLayout;
  }
}

export const measureAead = binding.measureAead;

export const interfaceIndex = binding.interfaceIndex;

export const interfaceName = binding.interfaceName;

export const x25519 = binding.x25519 ?? null;
