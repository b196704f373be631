// Makes the database that govulncheck reads (https://go.dev/security/vuln/database#api) of the reports in the module
// golang.org/x/vulndb. Standard input is what `go mod download -json` says of it, the argument an empty directory.

import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [out] = process.argv.slice(2);
const { Dir, Version } = JSON.parse(readFileSync(0, 'utf8'));
const reports = join(Dir, 'data', 'osv');

const modules = new Map();
const vulns = [];
// The reports in the module are undated; its version has the time of its commit.
const commit = /(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)-/.exec(Version);
if (!commit) throw new Error(`${Version} has no date`);
const [, year, month, day, hour, minute, second] = commit;

mkdirSync(join(out, 'ID'));
mkdirSync(join(out, 'index'));
for (const name of readdirSync(reports).filter((n) => /^GO-.*\.json$/.test(n)).sort()) {
  copyFileSync(join(reports, name), join(out, 'ID', name));
  const { id, modified, aliases, withdrawn, affected = [] } = JSON.parse(readFileSync(join(reports, name), 'utf8'));
  if (withdrawn) continue;
  vulns.push({ id, modified, ...(aliases && { aliases }) });
  for (const { package: { name: path }, ranges = [] } of affected) {
    const known = modules.get(path) ?? { path, vulns: [] };
    modules.set(path, known);
    if (known.vulns.some((v) => v.id === id)) continue;
    // `fixed` lets it pass over modules that are newer; without it the report itself decides.
    const events = ranges.flatMap((r) => r.events ?? []);
    const fixed = affected.length === 1 && events.at(-1)?.fixed;
    known.vulns.push({ id, modified, ...(fixed && { fixed }) });
  }
}
if (vulns.length < 1000) throw new Error(`${reports}: only ${vulns.length} reports`);

const write = (name, value) => writeFileSync(join(out, 'index', `${name}.json`), JSON.stringify(value));
write('db', { modified: `${year}-${month}-${day}T${hour}:${minute}:${second}Z` });
write('vulns', vulns);
write('modules', [...modules.values()].sort((a, b) => (a.path < b.path ? -1 : 1)));
console.log(`golang.org/x/vulndb of ${year}-${month}-${day}, ${vulns.length} reports`);
