/**
 * Where programs run: in a network namespace, or on a node. A node has its own network, host name, /run, /var/log,
 * /var/lib/kubelet and /var/lib/cni, like a machine: two nodes share no hostPath there. The rest of the file system is this
 * machine's.
 */
import { dirname, join } from 'node:path';
import type { BedPlan, NodePlan } from './plan.ts';

/** Runs a command in a network namespace. Not with `ip netns exec`, which remounts /sys, so that cgroups vanish. */
export function inNamespace(netns: string, command: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/${netns}`, '--', ...command];
}

/** Runs a command on a node, with its network, mounts and host name. */
export function onNode(node: NodePlan, command: readonly string[]): string[] {
  const { mounts, hostName } = namespaceFiles(node);
  return [
    'nsenter',
    `--net=/run/netns/${node.netns}`,
    `--mount=${mounts}`,
    `--uts=${hostName}`,
    '--',
    ...command,
  ];
}

function namespaceFiles(node: NodePlan): { directory: string; mounts: string; hostName: string } {
  const directory = join(node.directory, 'namespaces');
  return { directory, mounts: join(directory, 'mounts'), hostName: join(directory, 'host-name') };
}

/** A node's own directories on disk, and their paths inside the node. */
const ownDirectories: Record<string, string> = {
  kubelet: '/var/lib/kubelet',
  'cni-state': '/var/lib/cni',
  log: '/var/log',
};

/** Parent of all cgroups of all testbeds, in every hierarchy. */
export const cgroupParent = '/hawser-testbed';

/** The cgroup, in every hierarchy, that holds the pods of a node. */
export function cgroupOf(bed: BedPlan, node: NodePlan): string {
  return `${cgroupParent}/${bed.name}/${node.name}`;
}

/** Creates the cgroup that a kubelet expects. In version 1, a new cpuset is empty and must be set. */
function cgroupScript(bed: BedPlan, node: NodePlan): string[] {
  return [
    'if [ -e /sys/fs/cgroup/cgroup.controllers ]; then hierarchies=/sys/fs/cgroup; else hierarchies=$(ls -d /sys/fs/cgroup/*/); fi',
    `for hierarchy in $hierarchies; do
  cd "$hierarchy"
  for name in $(echo ${cgroupOf(bed, node)} | tr / ' '); do
    mkdir -p "$name"
    for key in cpuset.cpus cpuset.mems; do
      if [ -e /sys/fs/cgroup/cgroup.controllers ] || [ ! -e "$key" ]; then continue; fi
      if [ -z "$(cat "$name/$key")" ]; then cat "$key" > "$name/$key"; fi
    done
    cd "$name"
  done
done`,
    'cd /',
  ];
}

/** The script that creates the namespaces of all nodes. They live as long as the files that they are mounted on. */
export function placesScript(bed: BedPlan): string {
  const nodes = bed.clusters.flatMap((cluster) => cluster.nodes);
  const beds = dirname(bed.directory);
  return [
    'set -e',
    ...nodes.flatMap((node) => [...nodeScript(node, beds), ...cgroupScript(bed, node)]),
    '',
  ].join('\n');
}

function nodeScript(node: NodePlan, beds: string): string[] {
  const { directory, mounts, hostName } = namespaceFiles(node);
  const own = Object.entries(ownDirectories);
  const others = `^(/run/netns|${beds})/`;
  const inside = [
    // A new mount namespace copies all mounts, and copies of namespace mounts keep those namespaces alive: unmount those of
    // others. Unmounting one also unmounts what is below it, so some are already gone.
    `cut -d" " -f5 /proc/self/mountinfo | grep -E "${others}" | while read -r each; do umount -l "$each" 2>/dev/null || :; done`,
    `! cut -d" " -f5 /proc/self/mountinfo | grep -E "${others}"`,
    'mount -t tmpfs -o mode=755 tmpfs /run',
    'mkdir -p /run/netns /run/lock /run/containerd',
    ...own.map(([name, seen]) => `mount --bind ${join(node.directory, name)} ${seen}`),
  ].join(' && ');
  return [
    `mkdir -p ${directory} ${own.map(([name]) => join(node.directory, name)).join(' ')}`,
    // Directories of this machine, which may not exist yet.
    `mkdir -p ${own.map(([, seen]) => seen).join(' ')}`,
    // A mount namespace can be kept only on a mount that isn't shared: mount_namespaces(7).
    `mount --bind ${directory} ${directory}`,
    `mount --make-private ${directory}`,
    `touch ${mounts} ${hostName}`,
    `unshare --uts=${hostName} sh -c 'echo ${node.name} > /proc/sys/kernel/hostname'`,
    `unshare --mount=${mounts} --propagation=private sh -c '${inside}'`,
  ];
}
