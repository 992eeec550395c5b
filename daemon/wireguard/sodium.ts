/** libsodium, ready to be used. Whoever imports it waits until its WebAssembly module is there. */
import wrappers from 'libsodium-wrappers';

export const sodium: typeof wrappers = wrappers;

await sodium.ready;
