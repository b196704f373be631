// What the package promises to a compiler.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { generated } from '../generate.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** What the compiler has against one of the fixtures. */
async function compile(fixture) {
  const config = here(`fixtures/tsconfig.${fixture}.json`);
  writeFileSync(config, JSON.stringify({ extends: './tsconfig.json', include: [`${fixture}.ts`] }));
  try {
    return await new Promise((resolve) => {
      execFile(process.execPath, [here('../node_modules/typescript/bin/tsc'), '-p', config], (err, stdout) => resolve(stdout));
    });
  } finally {
    rmSync(config);
  }
}

test('the types are those of the schemas', async () => {
  assert.equal(readFileSync(here('../src/events.ts'), 'utf8'), await generated(), 'npm run generate makes them');
});

test('a page that keeps to the contract compiles, also with an event that it declares itself', async () => {
  assert.equal(await compile('right'), '');
});

test('a misspelt field, event, request, option or type does not compile', async () => {
  const said = await compile('wrong');
  const faults = said.match(/^.*wrong\.ts\(\d+.*$/gm) ?? [];
  const words = [
    "'prize'", '"oferta_submited"', "'recoverd'", '{ price: string; }', "'solicitudid'", "'expires_at'", '"oferta_submited"', '"subscribe_solicitd"',
    "'extra'", "'Id'", "'undefined'", "'onResinc'", "'retries'", "'greeting'",
  ];
  assert.equal(faults.length, words.length, said);
  words.forEach((word, i) => assert.ok(faults[i].includes(word), `${word}: ${faults[i]}`));
});

test('the published types have no any', () => {
  const files = readdirSync(here('../dist')).filter((name) => name.endsWith('.d.ts'));
  assert.ok(files.length > 3);
  for (const name of files) {
    const code = readFileSync(here(`../dist/${name}`), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
    assert.doesNotMatch(code, /\bany\b/, name);
  }
});
