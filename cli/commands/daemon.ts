import type { Command } from '../command.ts';

export const command: Command = {
  name: 'daemon',
  summary: 'run the controller or the node daemon of a cluster',
  description: `The chart starts it. The controller reconciles peerings and serves the virtual nodes. The node daemon programs the data path
of its node, and needs NET_ADMIN and /dev/net/tun. Both run as pods and stop on SIGTERM.`,
  options: { role: { type: 'string', value: 'ROLE', help: 'controller or node (required)' } },
  examples: [],
  run: async ({ options }) => {
    const { daemonProcess } = await import('../../daemon/main.ts');
    await daemonProcess(typeof options['role'] === 'string' ? [`--role=${options['role']}`] : []);
  },
};
