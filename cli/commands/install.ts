import type { Command } from '../command.ts';
import { ownVersion } from '../version.ts';

export const command: Command = {
  name: 'install',
  summary: 'show how Hawser is installed in a cluster',
  description: 'Prints the commands; it runs none of them, so that what touches a cluster is seen first.',
  options: {},
  examples: [],
  run: async ({ terminal }) => {
    const version = await ownVersion();
    terminal.print(`# Once a cluster, as its administrator. The chart is in the folder deploy/chart; version ${version}.
kubectl create namespace hawser-system
kubectl label namespace hawser-system pod-security.kubernetes.io/enforce=privileged
helm install hawser deploy/chart --namespace hawser-system --set cluster.name=NAME --wait

# At least one node that the tunnel ends on:
kubectl label node NODE hawser.dev/gateway=true

# Then, in the provider and in the consumer:
hawser token create
hawser peer TOKEN`);
  },
};
