#!/usr/bin/env node
// The `hawser` command from the sources, for any Node from 18 on: `npm link` puts it into the PATH. `npm run build:cli` builds
// the command for users.
import { start } from './start.mjs';

start('cli/main.ts', process.argv.slice(2));
