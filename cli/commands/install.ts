import type { Command } from '../command.ts';
import { ownVersion } from '../version.ts';

export const command: Command = {
  name: 'install',
  summary: 'print the commands that install Hawser in a cluster',
  description:
    'Only prints the commands and runs none of them, so that you can read them before they change a cluster.',
  options: {},
  examples: [],
  run: async ({ terminal }) => {
    const version = await ownVersion();
    terminal.print(`# Once per cluster, as its administrator. The chart is in the directory deploy/chart; version ${version}.
kubectl create namespace hawser-system
kubectl label namespace hawser-system pod-security.kubernetes.io/enforce=privileged
helm install hawser deploy/chart --namespace hawser-system --set cluster.name=NAME --wait

# Label at least one node as gateway node: tunnels end there.
kubectl label node NODE hawser.dev/gateway=true

# Then issue a token at the provider, and peer at the consumer:
hawser token create
hawser peer TOKEN`);
  },
};
