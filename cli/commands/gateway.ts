import type { Command } from '../command.ts';

export const command: Command = {
  name: 'gateway',
  summary: 'run the API gateway of a cluster',
  description: `The chart starts it. The API gateway serves the peers of this cluster over HTTPS. It runs as a pod with the pod's service
account. HAWSER_NAMESPACE, LOG_LEVEL and the certificate in /etc/hawser/tls configure it. It stops on SIGTERM.`,
  options: {},
  examples: [],
  run: async ({ environment, signal }) => {
    const { runGateway } = await import('../../gateway/node.ts');
    await runGateway(environment, signal);
  },
};
