/** A connection to another cluster with three states: open, frozen and cut. TLS passes through unchanged. */
import { connect, createServer, type Server, type Socket } from 'node:net';

/** Frozen: connections are accepted but not answered. Cut: connections end, and new ones are refused at once. */
export type LineState = 'Open' | 'Frozen' | 'Cut';

export class Line {
  readonly #server: Server;
  readonly #targetPort: () => number;
  readonly #pairs = new Set<{ near: Socket; far: Socket | undefined }>();
  #state: LineState = 'Open';

  constructor(targetPort: () => number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ allowHalfOpen: true }, (near) => this.#take(near));
  }

  /** Listens on loopback; returns the port. */
  async open(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  set(state: LineState): void {
    this.#state = state;
    for (const pair of this.#pairs) {
      if (state === 'Frozen') {
        pair.near.pause();
        pair.far?.pause();
      } else if (state === 'Cut' || pair.far === undefined) {
        pair.near.destroy();
        pair.far?.destroy();
      } else {
        pair.near.resume();
        pair.far.resume();
      }
    }
  }

  async close(): Promise<void> {
    this.set('Cut');
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #take(near: Socket): void {
    if (this.#state === 'Cut') {
      near.destroy();
      return;
    }
    const far = this.#state === 'Open' ? connect(this.#targetPort(), '127.0.0.1') : undefined;
    const pair = { near, far };
    this.#pairs.add(pair);
    const end = () => {
      near.destroy();
      far?.destroy();
      this.#pairs.delete(pair);
    };
    for (const socket of [near, far]) {
      socket?.setNoDelay(true);
      socket?.on('error', end);
      socket?.on('close', end);
    }
    if (far === undefined) {
      near.pause();
      return;
    }
    // Not with pipe, which would resume a paused socket.
    near.on('data', (bytes) => far.write(bytes));
    far.on('data', (bytes) => near.write(bytes));
    near.on('end', () => far.end());
    far.on('end', () => near.end());
  }
}
