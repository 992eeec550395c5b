/** Endpoints of remotes in text form. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isEndpoint } from '../../../daemon/fabric/wire-text.ts';

const table: [endpoint: string, usable: boolean][] = [
  ['198.51.100.7:7470', true],
  ['10.0.0.7:7470', true],
  ['[2001:db8::7]:7470', true],
  ['169.254.169.254:53', false],
  ['168.63.129.16:80', false],
  ['100.100.100.200:80', false],
  ['[fe80::1]:7470', false],
  ['[fd00:ec2::254]:80', false],
  ['[::ffff:169.254.169.254]:80', false],
  ['127.0.0.1:7470', false],
  ['[::1]:7470', false],
  ['0.0.0.0:7470', false],
  ['224.0.0.1:7470', false],
  ['255.255.255.255:7470', false],
  ['198.51.100.7:0', false],
  ['198.51.100.7', false],
  ['far.example:7470', false],
];

for (const [endpoint, usable] of table)
  test(`packets are ${usable ? '' : 'not '}sent to ${endpoint}`, () => {
    assert.is(isEndpoint(endpoint), usable);
  });

test.run();
