import type { LocalCluster } from '../../shared/api/clusters.ts';
import { clusterOptions, outputOption, type Command } from '../command.ts';
import { formatOf, printFacts } from '../output.ts';
import { hawser, withKube } from '../kube.ts';
import { ownVersion } from '../version.ts';

export const command: Command = {
  name: 'version',
  summary: 'show the version of this command and of Hawser in the cluster',
  description: 'With --client it does not connect to the cluster.',
  options: {
    client: { type: 'boolean', help: 'show the version of this command only' },
    ...outputOption,
    ...clusterOptions,
  },
  examples: [['Show the version of this command only', 'hawser version --client']],
  run: async (invocation) => {
    formatOf(invocation);
    const client = await ownVersion();
    const cluster =
      invocation.options['client'] === true
        ? undefined
        : await withKube(invocation, async (kube) => {
            const self = await kube.get<LocalCluster>(hawser('localclusters'), 'self');
            return self?.status?.version ?? (self === undefined ? 'not installed' : 'unknown');
          });
    await printFacts(invocation, { client, ...(cluster !== undefined && { cluster }) }, () =>
      cluster === undefined ? client : `command ${client}\ncluster ${cluster}`,
    );
  },
};
