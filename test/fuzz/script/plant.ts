/**
 * Intentional bugs, to prove that the fuzzers find them: a module's source is changed when it is loaded, in this process only.
 * The other numbers are those of `native/src/plant.h`.
 */
import { registerHooks } from 'node:module';

interface PlantedBug {
  file: string;
  from: string;
  to: string;
}

export const PLANTED_BUGS: Readonly<Record<number, PlantedBug>> = {
  // Accept longer messages as initiations.
  9: {
    file: 'daemon/wireguard/messages.ts',
    from: 'if (bytes.length !== INITIATION_LENGTH) return null;',
    to: 'if (bytes.length < INITIATION_LENGTH) return null;',
  },
  // Compare only a part of mac1.
  10: {
    file: 'daemon/wireguard/cookie.ts',
    from: 'return equal(mac1Of(bytes), mac(this.#mac1Key, beforeMac1(bytes)));',
    to: 'return equal(mac1Of(bytes).subarray(8), mac(this.#mac1Key, beforeMac1(bytes)).subarray(8));',
  },
  // Allow prefixes longer than an address.
  11: {
    file: 'daemon/wireguard/uapi.ts',
    from: "if (length > bits) throw invalid('allowed_ip');",
    to: '',
  },
  // Allow ports with more than 16 bits.
  12: {
    file: 'daemon/wireguard/uapi.ts',
    from: "if (port > 65_535) throw invalid('endpoint');",
    to: '',
  },
};

/** Call it before the module is loaded. 0: no bug. */
export function plant(number: number): void {
  const bug = PLANTED_BUGS[number];
  if (bug === undefined) return;
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context);
      if (!url.endsWith(bug.file)) return loaded;
      const { source = '' } = loaded;
      const text = typeof source === 'string' ? source : new TextDecoder().decode(source ?? undefined);
      const changed = text.replace(bug.from, bug.to);
      if (changed === text) throw new Error(`the place of planted bug ${number} is gone from ${bug.file}`);
      return { ...loaded, source: changed };
    },
  });
}
