/**
 * Bugs on purpose, so that the fuzzers can be seen to find them: the source of a module is changed as it is loaded, in this
 * process alone. Other numbers are those of `native/src/plant.h`.
 */
import { registerHooks } from 'node:module';

interface PlantedBug {
  file: string;
  from: string;
  to: string;
}

export const PLANTED_BUGS: Readonly<Record<number, PlantedBug>> = {
  // A longer message is taken for an initiation.
  9: {
    file: 'daemon/wireguard/messages.ts',
    from: 'if (bytes.length !== INITIATION_LENGTH) return null;',
    to: 'if (bytes.length < INITIATION_LENGTH) return null;',
  },
  // Only a part of mac1 is compared.
  10: {
    file: 'daemon/wireguard/cookie.ts',
    from: 'return equal(mac1Of(bytes), mac(this.#mac1Key, beforeMac1(bytes)));',
    to: 'return equal(mac1Of(bytes).subarray(8), mac(this.#mac1Key, beforeMac1(bytes)).subarray(8));',
  },
  // A prefix may be longer than an address.
  11: {
    file: 'daemon/wireguard/uapi.ts',
    from: "if (length > bits) throw invalid('allowed_ip');",
    to: '',
  },
  // A port may have more than 16 bits.
  12: {
    file: 'daemon/wireguard/uapi.ts',
    from: "if (port > 65_535) throw invalid('endpoint');",
    to: '',
  },
};

/** Before the module is loaded. 0: none. */
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
