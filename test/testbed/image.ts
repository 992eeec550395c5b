/** The images that every node of a testbed has: pause, agnhost and CoreDNS, each under its usual name. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { buildImage } from '../../deploy/image/oci.ts';
import type { ImageFile, ImageRequest } from '../../deploy/image/oci.ts';
import { withLock } from './lock.ts';
import { cacheDirectory } from './programs.ts';
import type { Log, ProgramName } from './programs.ts';

/** The version in `test/images/agnhost/VERSION` of this Kubernetes release. */
export const agnhostImage = 'registry.k8s.io/e2e-test-images/agnhost:2.56';
export const pauseImage = 'registry.k8s.io/pause:3.10.1';
export const coreDnsImage = 'registry.k8s.io/coredns/coredns:v1.13.2';

/** Statically linked, in Debian's package busybox-static. */
const busybox = '/usr/bin/busybox';

/** Programs that people and tests run with `kubectl exec`. Without wget and nslookup: static ones crash resolving names. */
const applets =
  'sh ash cat chmod cp cut date dd df echo env false find grep head hostname id ip kill ls mkdir mount nc netstat ping printf ps pwd rm rmdir sed seq sha256sum sleep sort stat tail tar tee test timeout touch tr true uname wc which whoami xargs yes'.split(
    ' ',
  );

/**
 * Holds a pod's namespaces: a shell that sleeps, and reaps orphans where containers share processes. It takes a megabyte; a
 * program written in Go would take twenty for each pod.
 */
const pauseScript = 'trap "exit 0" TERM INT; while :; do sleep 2147483647 & wait $!; done';

const accounts: readonly ImageFile[] = [
  {
    path: '/etc/passwd',
    content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
  },
  { path: '/etc/group', content: 'root:x:0:\nnobody:x:65534:\n' },
  { path: '/tmp', directory: true, mode: 0o1777 },
  { path: '/uploads', directory: true, mode: 0o777 },
];

function requests(programs: Record<ProgramName, string>): Omit<ImageRequest, 'output'>[] {
  return [
    {
      name: pauseImage,
      files: [
        { path: '/bin/busybox', from: busybox },
        { path: '/bin/sh', linkTo: 'busybox' },
      ],
      entrypoint: ['/bin/busybox', 'sh', '-c', pauseScript],
      user: '65535:65535',
    },
    {
      name: agnhostImage,
      files: [
        ...accounts,
        { path: '/agnhost', from: programs.agnhost, mode: 0o755 },
        { path: '/pause', linkTo: 'agnhost' },
        { path: '/bin/busybox', from: busybox },
        ...applets.map((applet) => ({ path: `/bin/${applet}`, linkTo: 'busybox' })),
      ],
      entrypoint: ['/agnhost'],
      command: ['pause'],
      exposedPorts: ['80', '8080', '8081', '9376'],
    },
    {
      name: coreDnsImage,
      files: [...accounts, { path: '/coredns', from: programs.coredns, mode: 0o755 }],
      entrypoint: ['/coredns'],
      user: '65532:65532',
      exposedPorts: ['53', '53/udp'],
    },
  ];
}

/** Creates the archives of these images unless they are cached, and returns their paths. */
export async function ensureImages(
  programs: Record<ProgramName, string>,
  options: { signal?: AbortSignal | undefined; log?: Log | undefined } = {},
): Promise<string[]> {
  const directory = join(cacheDirectory(), 'images');
  await mkdir(directory, { recursive: true });
  const paths: string[] = [];
  for (const request of requests(programs)) {
    const key = await requestKey(request);
    const short = request.name.slice(request.name.lastIndexOf('/') + 1).replace(':', '-');
    const output = join(directory, `${short}-${key}.tar`);
    paths.push(output);
    if (existsSync(output)) continue;
    await withLock(`${output}.lock`, { signal: options.signal, timeoutMilliseconds: 120_000 }, async () => {
      if (existsSync(output)) return;
      options.log?.(`Making image ${request.name}`);
      await buildImage({ ...request, output });
    });
  }
  return paths;
}

async function requestKey(request: Omit<ImageRequest, 'output'>): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(request));
  for (const file of request.files) {
    if (file.from === undefined) continue;
    const { size, mtimeMs } = await stat(file.from);
    hash.update(`${size} ${mtimeMs} `);
  }
  return hash.digest('hex').slice(0, 16);
}
