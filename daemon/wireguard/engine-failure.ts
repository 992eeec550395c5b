// A separate file, so that importing it does not load the protocol, whose cryptography takes 20 MB.

/** Why a device ended without being closed. */
export class EngineFailure extends Error {
  override name = 'EngineFailure';
  /** `tun-closed`: the interface was deleted, which is how users stop a device. */
  readonly reason: 'tun-closed' | 'udp-failed' | 'internal';

  constructor(reason: EngineFailure['reason'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
