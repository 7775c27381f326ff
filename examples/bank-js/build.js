// Makes bank.wasm: the interpreter, bank.js and the world, without anything of WASI.
//
//     node build.js [OUTPUT]
//
// The features that are disabled are those that need a clock, chance, files or a network. Math.random
// and Date.now go on to exist, frozen at what they were when this ran: take time and chance from
// aspen:function/context. package.json names preview2-shim because componentize-js needs it and does not say so.
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { componentize } from '@bytecodealliance/componentize-js';

const folder = fileURLToPath(new URL('.', import.meta.url));
const output = process.argv[2] ?? join(folder, 'bank.wasm');

const wit = await mkdtemp(join(tmpdir(), 'wit-'));
try {
  await cp(join(folder, 'wit'), wit, { recursive: true });
  await cp(join(folder, '../../wit/aspen.wit'), join(wit, 'deps/aspen-function/aspen.wit'));
  const { component } = await componentize({
    sourcePath: join(folder, 'bank.js'),
    witPath: wit,
    worldName: 'bank',
    disableFeatures: ['clocks', 'fetch-event', 'http', 'random', 'stdio'],
  });
  await writeFile(output, component);
} finally {
  await rm(wit, { recursive: true });
}
