// What is in the package, and that it works as it is installed: as an ES module and as CommonJS, at run time and for the compiler.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const run = promisify(execFile);

const PAGE = `import { connect, type OfertaEvent, type RealtimeClient } from '@teloo/realtime-client';
declare module '@teloo/realtime-client' {
  interface DomainEvents { oferta_withdrawn: OfertaEvent & { why: string } }
}
const client: RealtimeClient = connect('http://127.0.0.1:1', { getToken: () => 'token' });
client.on('oferta_withdrawn', ({ why }) => console.log(why.trim()));
client.on('oferta_submitted', ({ price }) => console.log(price.toFixed(2)));
`;

let dir;
let files;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'realtime-client-'));
  // Without scripts: the build would be in the way of the other tests.
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', dir], { cwd: here('..') });
  const [{ filename, files: packed }] = JSON.parse(stdout);
  files = packed.map(({ path }) => path);
  const modules = join(dir, 'node_modules', '@teloo', 'realtime-client');
  mkdirSync(modules, { recursive: true });
  await run('tar', ['-xzf', join(dir, filename), '-C', modules, '--strip-components=1']);
  symlinkSync(here('../node_modules/socket.io-client'), join(dir, 'node_modules', 'socket.io-client'));
  symlinkSync(here('../node_modules/@socket.io'), join(dir, 'node_modules', '@socket.io'));
});

after(() => rmSync(dir, { recursive: true, force: true }));

test('the package holds what is built, its description and its licence', () => {
  const others = files.filter((path) => !/^dist\/(cjs\/)?[a-z]+\.(js|d\.ts)$/.test(path));
  assert.deepEqual(others.sort(), ['LICENSE', 'README.md', 'dist/cjs/package.json', 'package.json']);
  assert.equal(files.length, 4 + 2 * 2 * 8);
  assert.equal(readFileSync(here('../LICENSE'), 'utf8'), readFileSync(here('../../../LICENSE'), 'utf8'));
});

test('it can be imported and required, also where there is no window, and does nothing then', async () => {
  const show = 'console.log(Object.keys(it).join(), typeof window)';
  for (const [file, text] of [['page.mjs', `import * as it from '@teloo/realtime-client';${show}`], ['page.cjs', `const it = require('@teloo/realtime-client');${show}`]]) {
    writeFileSync(join(dir, file), text);
    const { stdout } = await run(process.execPath, [join(dir, file)], { timeout: 5000 });
    assert.equal(stdout, 'connect undefined\n', file);
  }
});

test('compilers find its types, however they resolve modules, and may look into them', async () => {
  for (const [module, moduleResolution, file] of [
    ['Node16', 'Node16', 'page.mts'], ['Node16', 'Node16', 'page.cts'], ['NodeNext', 'NodeNext', 'page.mts'], ['ESNext', 'Bundler', 'page.ts'],
  ]) {
    writeFileSync(join(dir, file), PAGE);
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify({
      compilerOptions: { target: 'ES2022', lib: ['ES2022', 'DOM'], module, moduleResolution, strict: true, noEmit: true, types: [], skipLibCheck: false },
      files: [file],
    }));
    const said = await run(process.execPath, [here('../node_modules/typescript/bin/tsc'), '-p', dir]).then(() => '', (err) => err.stdout);
    assert.equal(said, '', `${module} ${file}`);
  }
});
