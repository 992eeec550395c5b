/**
 * Builds container images from files, without a container engine: an OCI image layout in a tar, for `ctr images import`,
 * `podman load` and `skopeo`. Equal files give equal bytes.
 *
 * OCI image-spec: image-layout.md, manifest.md, config.md. Tar: POSIX.1-2001 pax interchange format.
 */
import { createHash } from 'node:crypto';
import { open, readFile, readdir, rename, rm, stat, readlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';

/** One entry of an image's file system. Parent directories are created as needed. */
export interface ImageFile {
  /** Absolute path in the image. */
  path: string;
  /** Exactly one of these four is set. */
  from?: string;
  content?: string | Uint8Array;
  linkTo?: string;
  directory?: true;
  /** Permission bits. Default: 0o644 for content, the source's for `from`, 0o755 for directories. */
  mode?: number;
  uid?: number;
  gid?: number;
}

export interface ImageRequest {
  /** Full name with tag, as used by pods. */
  name: string;
  /** Path of the archive to write. */
  output: string;
  files: readonly ImageFile[];
  entrypoint: readonly string[];
  command?: readonly string[];
  /** `NAME=value` each. */
  env?: readonly string[];
  /** `UID`, or `UID:GID`; numbers, so that kubelets can verify that it isn't root. */
  user?: string;
  workdir?: string;
  exposedPorts?: readonly string[];
  labels?: Record<string, string>;
  /** Architecture in GOARCH's terms. Default: this machine's. */
  architecture?: string;
}

export interface Image {
  name: string;
  path: string;
  /** Digest of the manifest: `sha256:…`. */
  digest: string;
}

const block = 512;
const chunkBytes = 4 * 1024 * 1024;

interface Entry {
  name: string;
  type: '0' | '2' | '5';
  mode: number;
  uid: number;
  gid: number;
  size: number;
  linkTo: string;
  source: { from: string } | { content: Uint8Array } | undefined;
}

/** Builds the archive, which appears under its name only when it is complete. */
export async function buildImage(request: ImageRequest): Promise<Image> {
  const entries = await layerEntries(request.files);
  const layerSize = entries.reduce((sum, entry) => sum + entrySize(entry), 2 * block);
  const unfinished = `${request.output}.${process.pid}.unfinished`;
  const output = await open(unfinished, 'w', 0o644);
  try {
    // The layer's digest is part of its name, which precedes it: the layer is read twice instead of being kept in memory.
    const layerHash = createHash('sha256');
    await writeLayer(entries, (bytes) => {
      layerHash.update(bytes);
      return Promise.resolve();
    });
    const layerDigest = layerHash.digest('hex');
    const config = json(imageConfig(request, layerDigest));
    const manifest = json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.v1.tar',
          digest: `sha256:${layerDigest}`,
          size: layerSize,
        },
      ],
    });
    const index = json({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        {
          ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
          annotations: {
            'io.containerd.image.name': request.name,
            'org.opencontainers.image.ref.name': request.name.slice(request.name.lastIndexOf(':') + 1),
          },
        },
      ],
    });
    const small = async (name: string, content: Uint8Array) => {
      await output.write(header({ ...plainEntry, name, size: content.length }));
      await output.write(padded(content));
    };
    await small('oci-layout', json({ imageLayoutVersion: '1.0.0' }));
    await small('index.json', index);
    await small(`blobs/sha256/${sha256(manifest)}`, manifest);
    await small(`blobs/sha256/${sha256(config)}`, config);
    await output.write(header({ ...plainEntry, name: `blobs/sha256/${layerDigest}`, size: layerSize }));
    await writeLayer(entries, async (bytes) => {
      await output.write(bytes);
    });
    await output.write(Buffer.alloc(2 * block));
    await output.close();
    await rename(unfinished, request.output);
    return { name: request.name, path: request.output, digest: `sha256:${sha256(manifest)}` };
  } catch (error) {
    await output.close().catch(() => undefined);
    await rm(unfinished, { force: true });
    throw new Error(`cannot make image ${request.name}: ${(error as Error).message}`, { cause: error });
  }
}

/** The files below a directory, to be put below `at`. `keep` gets paths relative to the directory. */
export async function filesBelow(
  directory: string,
  at: string,
  keep: (relativePath: string) => boolean = () => true,
): Promise<ImageFile[]> {
  const found: ImageFile[] = [];
  const walk = async (relative: string): Promise<void> => {
    const entries = await readdir(join(directory, relative), { withFileTypes: true });
    for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
      const path = relative === '' ? entry.name : `${relative}/${entry.name}`;
      if (!keep(path)) continue;
      if (entry.isDirectory()) await walk(path);
      else if (entry.isSymbolicLink()) {
        found.push({ path: `${at}/${path}`, linkTo: await readlink(join(directory, path)) });
      } else if (entry.isFile()) found.push({ path: `${at}/${path}`, from: join(directory, path) });
    }
  };
  await walk('');
  return found;
}

const plainEntry: Entry = {
  name: '',
  type: '0',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  linkTo: '',
  source: undefined,
};

async function layerEntries(files: readonly ImageFile[]): Promise<Entry[]> {
  const entries = new Map<string, Entry>();
  for (const file of files) {
    const name = file.path.replace(/^\/+/, '').replace(/\/+$/, '');
    if (name === '' || name.split('/').some((part) => part === '..' || part === '.' || part === '')) {
      throw new TypeError(`${file.path} is not an absolute path without . and ..`);
    }
    const owner = { uid: file.uid ?? 0, gid: file.gid ?? 0 };
    if (file.directory) {
      entries.set(name, { ...plainEntry, ...owner, name: `${name}/`, type: '5', mode: file.mode ?? 0o755 });
    } else if (file.linkTo !== undefined) {
      entries.set(name, { ...plainEntry, ...owner, name, type: '2', mode: 0o777, linkTo: file.linkTo });
    } else if (file.content !== undefined) {
      const content = typeof file.content === 'string' ? Buffer.from(file.content) : file.content;
      entries.set(name, {
        ...plainEntry,
        ...owner,
        name,
        mode: file.mode ?? 0o644,
        size: content.length,
        source: { content },
      });
    } else if (file.from !== undefined) {
      const facts = await stat(file.from);
      const mode = file.mode ?? ((facts.mode & 0o111) === 0 ? 0o644 : 0o755);
      entries.set(name, {
        ...plainEntry,
        ...owner,
        name,
        mode,
        size: facts.size,
        source: { from: file.from },
      });
    } else throw new TypeError(`${file.path} says neither from, content, linkTo nor directory`);
  }
  for (const name of Array.from(entries.keys())) {
    for (let parent = parentOf(name); parent !== ''; parent = parentOf(parent)) {
      if (!entries.has(parent))
        entries.set(parent, { ...plainEntry, name: `${parent}/`, type: '5', mode: 0o755 });
    }
  }
  // Sorted by path, a directory precedes its contents.
  return [...entries.entries()].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, entry]) => entry);
}

function parentOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '';
}

function entrySize(entry: Entry): number {
  return header(entry).length + Math.ceil(entry.size / block) * block;
}

async function writeLayer(
  entries: readonly Entry[],
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  for (const entry of entries) {
    await write(header(entry));
    if (entry.source === undefined) continue;
    if ('content' in entry.source) {
      await write(padded(entry.source.content));
      continue;
    }
    const file = await open(entry.source.from, 'r');
    try {
      await copy(file, entry, write);
    } finally {
      await file.close();
    }
  }
  await write(Buffer.alloc(2 * block));
}

async function copy(
  file: FileHandle,
  entry: Entry,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  let left = entry.size;
  while (left > 0) {
    const buffer = Buffer.alloc(Math.min(left, chunkBytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) throw new Error(`/${entry.name} became shorter while it was read`);
    left -= bytesRead;
    await write(left === 0 ? padded(buffer.subarray(0, bytesRead)) : buffer.subarray(0, bytesRead));
  }
}

/** Pads to a whole block. Chunks before the last one are whole blocks, so only the last one needs it. */
function padded(content: Uint8Array): Buffer {
  const rest = content.length % block;
  return rest === 0 ? Buffer.from(content) : Buffer.concat([content, Buffer.alloc(block - rest)]);
}

function header(entry: Entry): Buffer {
  const blocks: Buffer[] = [];
  const long = Buffer.byteLength(entry.name) > 100 || Buffer.byteLength(entry.linkTo) > 100;
  if (long) {
    const records = Buffer.from(paxRecord('path', entry.name) + paxRecord('linkpath', entry.linkTo));
    blocks.push(
      plainHeader(
        { ...plainEntry, name: `pax/${basename(entry.name).slice(-80)}`, size: records.length },
        'x',
      ),
    );
    blocks.push(padded(records));
  }
  blocks.push(plainHeader(entry, entry.type));
  return Buffer.concat(blocks);
}

/**
 * `LENGTH key=value
 * `, where the length includes itself.
 */
function paxRecord(key: string, value: string): string {
  if (value === '') return '';
  const rest = ` ${key}=${value}\n`;
  const size = Buffer.byteLength(rest);
  let length = size + String(size).length;
  if (String(length).length !== String(size).length) length = size + String(length).length;
  return `${length}${rest}`;
}

function plainHeader(entry: Entry, type: string): Buffer {
  const bytes = Buffer.alloc(block);
  const octal = (value: number, offset: number, width: number) =>
    bytes.write(value.toString(8).padStart(width - 1, '0'), offset, 'ascii');
  if (entry.size >= 8 ** 11) throw new RangeError(`${entry.name} is too large for a tar header`);
  bytes.write(entry.name, 0, 100, 'utf8');
  octal(entry.mode, 100, 8);
  octal(entry.uid, 108, 8);
  octal(entry.gid, 116, 8);
  octal(entry.size, 124, 12);
  octal(0, 136, 12);
  bytes.fill(' ', 148, 156);
  bytes.write(type, 156, 'ascii');
  bytes.write(entry.linkTo, 157, 100, 'utf8');
  bytes.write('ustar\x0000', 257, 'ascii');
  let sum = 0;
  for (const byte of bytes) sum += byte;
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'ascii');
  return bytes;
}

function imageConfig(request: ImageRequest, layerDigest: string): object {
  return {
    created: '1970-01-01T00:00:00Z',
    architecture: request.architecture ?? (process.arch === 'x64' ? 'amd64' : process.arch),
    os: 'linux',
    config: {
      Entrypoint: request.entrypoint,
      ...(request.command && { Cmd: request.command }),
      Env: request.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      ...(request.user !== undefined && { User: request.user }),
      WorkingDir: request.workdir ?? '/',
      ...(request.exposedPorts && {
        ExposedPorts: Object.fromEntries(request.exposedPorts.map((port) => [port, {}])),
      }),
      ...(request.labels && { Labels: request.labels }),
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layerDigest}`] },
    history: [{ created: '1970-01-01T00:00:00Z', created_by: 'hawser image' }],
  };
}

function descriptor(mediaType: string, content: Uint8Array): object {
  return { mediaType, digest: `sha256:${sha256(content)}`, size: content.length };
}

function sha256(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** The digest of the manifest of an archive made by `buildImage`, read from the archive itself. */
export async function imageDigest(path: string): Promise<string> {
  const archive = (await readFile(path)).subarray(0, 16 * block).toString('utf8');
  const match = /"manifests":\[\{"mediaType":"[^"]+","digest":"(sha256:[0-9a-f]{64})"/.exec(archive);
  if (match?.[1] === undefined) throw new Error(`${path} is not an image archive made here`);
  return match[1];
}
