import { suite } from 'uvu';

const cluster = suite('cluster');
cluster.after(() => {
  throw new Error('the cluster does not go');
});
cluster('one', () => {});
cluster.run();
