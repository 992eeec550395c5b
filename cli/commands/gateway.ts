import type { Command } from '../command.ts';

export const command: Command = {
  name: 'gateway',
  summary: 'run the gateway of a cluster (what the chart starts)',
  description: `Serves the peers of this cluster over HTTPS. Runs as a pod, with the pod's service account; HAWSER_NAMESPACE,
LOG_LEVEL and the certificate in /etc/hawser/tls are its configuration. Ends on SIGTERM.`,
  options: {},
  examples: [],
  run: async ({ environment, signal }) => {
    const { runGateway } = await import('../../gateway/node.ts');
    await runGateway(environment, signal);
  },
};
