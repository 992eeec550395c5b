import { suite } from 'uvu';

const cluster = suite('cluster');
cluster.before(() => {
  throw new Error('no cluster today');
});
cluster('one', () => {});
cluster('two', () => {});
cluster.run();
