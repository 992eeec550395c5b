// A file of its own: who only hears of it need not load the protocol, of which cryptography takes 20 MB.

/** Why a shell came to its end by itself. */
export class EngineFailure extends Error {
  override name = 'EngineFailure';
  /** `tun-closed`: the interface was deleted, which is how users end a device. */
  readonly reason: 'tun-closed' | 'udp-failed' | 'internal';

  constructor(reason: EngineFailure['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
