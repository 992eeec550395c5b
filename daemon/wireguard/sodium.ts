/** libsodium, ready to use: importing this module waits until its WebAssembly module is loaded. */
import wrappers from 'libsodium-wrappers';

export const sodium: typeof wrappers = wrappers;

await sodium.ready;
