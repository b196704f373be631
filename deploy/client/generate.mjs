// Makes src/events.ts of the schemas in node/schemas: `npm run generate`, or with --check tells whether it is up to date.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { compile } from 'json-schema-to-typescript';

const schemas = new URL('../../node/schemas/', import.meta.url);
const target = new URL('src/events.ts', import.meta.url);

const BANNER = '// Made by generate.mjs of the JSON Schemas in node/schemas. Do not edit: run `npm run generate`.';

const read = (file) => JSON.parse(readFileSync(new URL(file, schemas), 'utf8').replaceAll('../common.json#/$defs/', '#/$defs/'));

const namesIn = (dir) => readdirSync(new URL(dir, schemas)).sort().map((file) => file.replace(/\.json$/, ''));

const refTo = (name) => ({ $ref: `#/$defs/${name}` });

/** An interface with a property for each name. */
const table = (title, description, properties) => ({
  title, description, type: 'object', properties, required: Object.keys(properties),
});

// A description beside a reference would make a type of its own of it; so the referred type is named instead.
const named = ($defs) => (key, value) => (value?.$ref && value.description && !value.title
  ? { description: value.description, tsType: $defs[value.$ref.split('/').at(-1)].title } : value);

// Neither bounds nor examples say anything to TypeScript, but bounds make tuples of arrays.
const plain = (schema) => JSON.parse(JSON.stringify(schema, (key, value) => (
  ['$schema', 'maxItems', 'examples', 'x-ack'].includes(key) ? undefined : value)));

export async function generated() {
  const $defs = read('common.json').$defs;
  const tables = {};
  for (const dir of ['events', 'families', 'server', 'client']) {
    tables[dir] = {};
    for (const name of namesIn(dir)) {
      const { $ref, ...own } = read(`${dir}/${name}.json`);
      $defs[`${dir}_${name}`] = { ...$ref && $defs[$ref.split('/').at(-1)], ...own };
      tables[dir][name] = refTo(`${dir}_${name}`);
    }
  }
  const answers = Object.fromEntries(namesIn('client').map((name) => [name, refTo($defs[`client_${name}`]['x-ack'])]));
  const root = table('Contract', 'All that passes between clients and the gateway.', {
    events: table('DomainEvents', 'The Core API\'s events and their data. Declare others here, by merging.', tables.events),
    families: table('Families', 'What any event of a kind has.', tables.families),
    server: table('GatewayEvents', 'The gateway\'s own events.', tables.server),
    requests: table('Requests', 'What clients ask for.', tables.client),
    answers: table('Answers', 'The ack of each request.', answers),
    refusal: refTo('refusal'),
  });
  const whole = JSON.parse(JSON.stringify(plain({ ...root, $defs }), named($defs)));
  return compile(whole, 'Contract', {
    unreachableDefinitions: true, additionalProperties: false, bannerComment: BANNER, strictIndexSignatures: true, style: { singleQuote: true, printWidth: 120 },
  });
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const text = await generated();
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    console.error('src/events.ts is not what the schemas say: run npm run generate');
    process.exitCode = 1;
  }
}
