import type { Command } from '../command.ts';

export const command: Command = {
  name: 'tunnel',
  summary: 'run a userspace WireGuard device, without a cluster',
  arguments: 'INTERFACE',
  description: `Creates a userspace WireGuard device, which wg and wg-quick configure. The process forks to the background once the
interface and its control socket exist, and exits when either is deleted.`,
  options: { foreground: { type: 'boolean', short: 'f', help: 'run in the foreground' } },
  examples: [
    [
      'Create a device, and set its key and its port',
      'hawser tunnel wg0 && wg set wg0 listen-port 51820 private-key key',
    ],
    ['Delete the device', 'ip link del wg0'],
  ],
  run: async (invocation) => {
    const { arguments: names, options, signal } = invocation;
    const { runTunnel } = await import('../../daemon/roles/tunnel.ts');
    invocation.exitCode = await runTunnel(
      [...(options['foreground'] === true ? ['--foreground'] : []), ...names],
      signal,
    );
  },
};
