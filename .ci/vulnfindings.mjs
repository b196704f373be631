// Reads govulncheck's JSON on standard input. Exits with 1 if the program calls something vulnerable of a module; what is
// the Go installation's own is said, and mended by a newer one, not here.

import { readFileSync } from 'node:fs';

const called = new Map();
const titles = new Map();
// A stream of indented objects, each of which begins in a line of its own.
for (const text of readFileSync(0, 'utf8').split(/^(?=\{)/m).filter((t) => t.trim())) {
  const { osv, finding } = JSON.parse(text);
  if (osv) titles.set(osv.id, osv.summary);
  if (finding?.trace[0].function) called.set(`${finding.osv} ${finding.trace[0].module}`, finding);
}
let status = 0;
for (const { osv, fixed_version: fixed, trace: [{ module, version, package: pkg }] } of called.values()) {
  const own = module === 'stdlib';
  if (!own) status = 1;
  const where = own ? `${pkg} of Go ${version.slice(1)}` : `${module} ${version}`;
  console.error(`vulncheck: ${osv}: ${where}, ${fixed ? `fixed in ${fixed}` : 'not fixed'}: ${titles.get(osv)}${own ? ' (build with a newer Go)' : ''}`);
}
process.exit(status);
