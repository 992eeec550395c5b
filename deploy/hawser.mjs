#!/usr/bin/env node
// The `hawser` command from the sources, for any Node from 18 on: `npm link` puts it into the PATH. What users are given is built
// by `npm run build:cli`.
import { start } from './start.mjs';

start('cli/main.ts', process.argv.slice(2));
