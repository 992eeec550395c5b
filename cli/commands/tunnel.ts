import type { Command } from '../command.ts';

export const command: Command = {
  name: 'tunnel',
  summary: 'run a WireGuard device without any cluster',
  arguments: 'INTERFACE',
  description: `Makes a WireGuard device in user space that wg and wg-quick configure. Goes to the background once the
interface and its socket are there, and ends when either is deleted.`,
  options: { foreground: { type: 'boolean', short: 'f', help: 'stay in the foreground' } },
  examples: [
    ['A device, its key and its port', 'hawser tunnel wg0 && wg set wg0 listen-port 51820 private-key key'],
    ['Its end', 'ip link del wg0'],
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
