import type { LocalCluster } from '../../shared/api/clusters.ts';
import { clusterOptions, outputOption, type Command } from '../command.ts';
import { formatOf, printFacts } from '../output.ts';
import { hawser, withKube } from '../kube.ts';
import { ownVersion } from '../version.ts';

export const command: Command = {
  name: 'version',
  summary: 'show the version of this command and of the cluster',
  description: 'With --client the cluster is not asked.',
  options: { client: { type: 'boolean', help: 'this command alone' }, ...outputOption, ...clusterOptions },
  examples: [['Of this command alone', 'hawser version --client']],
  run: async (invocation) => {
    formatOf(invocation);
    const client = await ownVersion();
    const cluster =
      invocation.options['client'] === true
        ? undefined
        : await withKube(invocation, async (kube) => {
            const self = await kube.get<LocalCluster>(hawser('localclusters'), 'self');
            return self?.status?.version ?? (self === undefined ? 'not installed' : 'not known yet');
          });
    await printFacts(invocation, { client, ...(cluster !== undefined && { cluster }) }, () =>
      cluster === undefined ? client : `command ${client}\ncluster ${cluster}`,
    );
  },
};
