/** Addresses that a remote may make this cluster dial. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isDialable } from '../../../shared/net/dialable.ts';

const outside = 'https://198.51.100.7:7443';
const here = 'https://127.0.0.1:7443';

const table: [url: string, known: string | undefined, dialable: boolean][] = [
  ['https://203.0.113.5:6443', outside, true],
  ['https://10.0.0.5:6443', outside, true],
  ['https://gateway.example:7443', outside, true],
  ['https://[2001:db8::5]:6443', undefined, true],
  ['https://169.254.169.254', outside, false],
  ['https://2852039166', outside, false],
  ['https://0xa9.0xfe.43518', outside, false],
  ['https://[::ffff:169.254.169.254]', outside, false],
  ['https://[fe80::1]:443', outside, false],
  ['https://[fd00:ec2::254]', outside, false],
  ['https://100.100.100.200', outside, false],
  ['https://168.63.129.16', outside, false],
  ['https://0.0.0.0:6443', outside, false],
  ['https://[::]:6443', outside, false],
  ['https://224.0.0.1', outside, false],
  ['https://255.255.255.255', outside, false],
  ['https://127.0.0.1:6443', outside, false],
  ['https://127.0.0.1:6443', undefined, false],
  ['https://0x7f.1:6443', outside, false],
  ['https://[::1]:6443', outside, false],
  ['https://localhost:6443', outside, false],
  ['https://LOCALHOST.:6443', outside, false],
  ['https://a.localhost:6443', outside, false],
  // An administrator named this machine for the same remote.
  ['https://127.0.0.1:6443', here, true],
  ['https://[::1]:6443', here, true],
  ['https://169.254.169.254', here, false],
  ['https://', outside, false],
  ['no URL', outside, false],
];

for (const [url, known, dialable] of table)
  test(`${url} is ${dialable ? '' : 'not '}dialled, with ${known ?? 'no known address'}`, () => {
    assert.is(isDialable(url, known), dialable);
  });

test.run();
