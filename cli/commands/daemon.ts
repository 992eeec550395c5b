import type { Command } from '../command.ts';

export const command: Command = {
  name: 'daemon',
  summary: 'run the controller or the node daemon of a cluster (what the chart starts)',
  arguments: '--role=controller|node',
  description: `The controller reconciles peerings and serves the virtual nodes; the node daemon is the data path of the node
that it runs on and needs NET_ADMIN and /dev/net/tun. Both run as pods. They end on SIGTERM.`,
  options: { role: { type: 'string', value: 'ROLE', help: 'controller or node' } },
  examples: [],
  run: async ({ options }) => {
    const { daemonProcess } = await import('../../daemon/main.ts');
    await daemonProcess(typeof options['role'] === 'string' ? [`--role=${options['role']}`] : []);
  },
};
