/** Checks from inside clusters whether something can be reached, by the bytes that come back. */
import type { BedCluster } from '../testbed/index.ts';
import { namespace } from './installation.ts';

/** Commands in pods limit their own duration; a busy machine needs time to start them. */
const execMilliseconds = 180_000;

/** Whether a pod receives at least one byte over TCP: TLS servers answer plain HTTP too. */
export async function answersPod(
  cluster: BedCluster,
  pod: { namespace: string; name: string },
  host: string,
  port: string,
): Promise<boolean> {
  const script = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | /bin/busybox timeout 4 /bin/busybox nc -w 3 ${host} ${port} 2> /dev/null | /bin/busybox wc -c`;
  const output = await cluster.kubectl(
    ['exec', '-n', pod.namespace, pod.name, '--', '/bin/busybox', 'sh', '-c', script],
    { timeoutMilliseconds: execMilliseconds },
  );
  if (!/^\d+$/.test(output.trim())) throw new Error(`nc in ${pod.name} said: ${output}`);
  return output.trim() !== '0';
}

/** Runs JavaScript in a cluster's controller, the only source that an in-band provider admits to its control plane. */
async function inController(cluster: BedCluster, script: string): Promise<string> {
  const output = await cluster.kubectl(
    ['exec', '-n', namespace, 'deploy/hawser-controller', '--', '/usr/local/bin/node', '-e', script],
    { timeoutMilliseconds: execMilliseconds },
  );
  return output.trim();
}

/** Which of these targets, `host:port`, accept a TCP connection of the controller. */
export async function reachedByController(
  cluster: BedCluster,
  targets: readonly string[],
): Promise<string[]> {
  const output = await inController(
    cluster,
    `const targets = ${JSON.stringify(targets)};
     const dial = (target) => new Promise((resolve) => {
       const cut = target.lastIndexOf(':');
       const socket = require('node:net').connect({ host: target.slice(0, cut), port: Number(target.slice(cut + 1)) });
       const end = (reached) => () => { socket.destroy(); resolve(reached); };
       socket.once('connect', end(true)); socket.once('error', end(false)); setTimeout(end(false), 10_000);
     });
     Promise.all(targets.map(dial)).then((reached) => {
       console.log(JSON.stringify(targets.filter((_, index) => reached[index]))); process.exit(0);
     });`,
  );
  return JSON.parse(output) as string[];
}

/** The first line of a TLS server's answer to the controller's CONNECT request (RFC 9110, section 9.3.6). */
export async function answerToConnect(cluster: BedCluster, target: string): Promise<string> {
  return inController(
    cluster,
    `const [host, port] = ${JSON.stringify(target)}.split(':');
     const socket = require('node:tls').connect({ host, port: Number(port), rejectUnauthorized: false });
     let said = '';
     socket.on('data', (chunk) => (said += chunk));
     const end = () => { console.log(JSON.stringify(said.split('\\r\\n')[0])); process.exit(0); };
     socket.on('error', end); socket.on('close', end); setTimeout(end, 5000);
     socket.write('CONNECT 127.0.0.1:10250 HTTP/1.1\\r\\nHost: 127.0.0.1:10250\\r\\n\\r\\n');`,
  );
}
