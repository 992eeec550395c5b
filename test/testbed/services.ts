/** The programs of a testbed, where each runs, and how missing ones are started. */
import { join } from 'node:path';
import {
  apiServerCommand,
  controllerManagerCommand,
  etcdCommand,
  schedulerCommand,
} from './control-plane.ts';
import type { ControlPlanePlan } from './control-plane.ts';
import { nodeCommands } from './node.ts';
import { inNamespace, onNode } from './places.ts';
import { apiServerPort } from './plan.ts';
import type { BedPlan, ClusterPlan } from './plan.ts';
import { isAlive, startService } from './processes.ts';
import type { ProcessId } from './processes.ts';
import type { ProgramName } from './programs.ts';
import { readRecord, writeRecord } from './state.ts';

export interface BedService {
  /** Unique in the bed: `c1.kube-apiserver`, `c1.c1-n1.kubelet`. */
  name: string;
  /** The full command, including the prefix that enters its namespaces. */
  command: readonly string[];
  logFile: string;
}

/** In the environment of every process of a testbed, so that none is overlooked at teardown. */
export const bedVariable = 'HAWSER_TESTBED_BED';

export function controlPlanePlan(
  cluster: ClusterPlan,
  programs: Record<ProgramName, string>,
): ControlPlanePlan {
  return {
    clusterName: cluster.name,
    directory: join(cluster.directory, 'control-plane'),
    address: cluster.controlPlaneAddress,
    port: apiServerPort,
    etcdPort: 2379,
    etcdPeerPort: 2380,
    controllerManagerPort: 10257,
    schedulerPort: 10259,
    moreAddresses: [cluster.wideAreaAddress],
    podCIDR: cluster.podCIDR,
    serviceCIDR: cluster.serviceCIDR,
    kubernetesServiceAddress: cluster.kubernetesServiceAddress,
    programs,
    routeToEndpoints: true,
  };
}

export interface ClusterServices {
  etcd: BedService;
  apiServer: BedService;
  controllerManager: BedService;
  scheduler: BedService;
  nodes: {
    containerd: BedService;
    kubelet: BedService;
    kubeProxy: BedService;
    /** Set where the cluster enforces network policies. */
    kubeRouter?: BedService;
  }[];
}

export function clusterServices(
  cluster: ClusterPlan,
  programs: Record<ProgramName, string>,
): ClusterServices {
  const plan = controlPlanePlan(cluster, programs);
  const controlPlane = (name: string, command: string[]): BedService => ({
    name: `${cluster.name}.${name}`,
    command: inNamespace(cluster.controlPlaneNetns, command),
    logFile: join(plan.directory, `${name}.log`),
  });
  return {
    etcd: controlPlane('etcd', etcdCommand(plan)),
    apiServer: controlPlane('kube-apiserver', apiServerCommand(plan)),
    controllerManager: controlPlane('kube-controller-manager', controllerManagerCommand(plan)),
    scheduler: controlPlane('kube-scheduler', schedulerCommand(plan)),
    nodes: cluster.nodes.map((node) => {
      const commands = nodeCommands(cluster, node, programs);
      const service = (name: keyof typeof commands): BedService => ({
        name: `${cluster.name}.${node.name}.${name}`,
        command: onNode(node, commands[name]),
        logFile: join(node.directory, `${name}.log`),
      });
      return {
        containerd: service('containerd'),
        kubelet: service('kubelet'),
        kubeProxy: service('kube-proxy'),
        ...(cluster.policies && { kubeRouter: service('kube-router') }),
      };
    }),
  };
}

/** The load balancers of all clusters of a testbed: outside of every cluster, like a cloud's. */
export function loadBalancerService(bed: BedPlan): BedService {
  return {
    name: 'load-balancer',
    command: [process.execPath, join(import.meta.dirname, 'loadbalancer/main.ts'), bed.name],
    logFile: join(bed.directory, 'load-balancer.log'),
  };
}

export function allServices(bed: BedPlan, programs: Record<ProgramName, string>): BedService[] {
  const ofClusters = bed.clusters.flatMap((cluster) => {
    const services = clusterServices(cluster, programs);
    return [
      services.etcd,
      services.apiServer,
      services.controllerManager,
      services.scheduler,
      ...services.nodes.flatMap(({ containerd, kubelet, kubeProxy, kubeRouter }) => [
        containerd,
        kubelet,
        kubeProxy,
        ...(kubeRouter === undefined ? [] : [kubeRouter]),
      ]),
    ];
  });
  return [...ofClusters, loadBalancerService(bed)];
}

/** Starts a service unless it runs. Returns true if it was started. */
export async function ensureService(bed: BedPlan, service: BedService): Promise<boolean> {
  const record = await readRecord(bed, service.name);
  if (record !== undefined && isAlive(record.process)) return false;
  const process_: ProcessId = await startService({
    command: service.command,
    logFile: service.logFile,
    env: {
      [bedVariable]: bed.directory,
      ...(process.env['HAWSER_TESTBED_DIRECTORY'] && {
        HAWSER_TESTBED_DIRECTORY: process.env['HAWSER_TESTBED_DIRECTORY'],
      }),
    },
  });
  await writeRecord(bed, { name: service.name, process: process_ });
  return true;
}
