/** `kubectl port-forward`, as a user runs it, until it is closed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { BedCluster } from '../testbed/index.ts';

export interface PortForward extends AsyncDisposable {
  /** The local URL: `http://127.0.0.1:PORT`. */
  url: string;
}

/**
 * Forwards a free port of this machine to a port of a pod.
 *
 * @throws Error with the output of kubectl, when it ends or is silent for `seconds`
 */
export async function portForward(
  kubectl: string,
  cluster: BedCluster,
  pod: { namespace: string; name: string; port: number },
  seconds = 30,
): Promise<PortForward> {
  const child = spawn(
    kubectl,
    [
      '--kubeconfig',
      cluster.kubeconfig,
      'port-forward',
      '--address=127.0.0.1',
      '-n',
      pod.namespace,
      `pod/${pod.name}`,
      `:${pod.port}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const ended = once(child, 'close');
  const close = async () => {
    child.kill('SIGTERM');
    await ended;
  };
  let said = '';
  const listening = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`port-forward was silent for ${seconds} s`)),
      seconds * 1000,
    );
    const take = (text: string) => {
      if (said.length < 10_000) said += text;
      const port = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said)?.[1];
      if (port !== undefined) resolve(`http://127.0.0.1:${port}`);
    };
    child.stdout.setEncoding('utf8').on('data', take);
    child.stderr.setEncoding('utf8').on('data', take);
    child.once('error', reject);
    child.once('close', (code) => reject(new Error(`port-forward ended with ${code}: ${said}`)));
    void ended.finally(() => clearTimeout(timer));
  });
  try {
    return { url: await listening, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
