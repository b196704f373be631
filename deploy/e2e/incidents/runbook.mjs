// The runbook's own commands, run as an operator would: pasted into a shell.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const TEXT = readFileSync(fileURLToPath(new URL('../../RUNBOOK.md', import.meta.url)), 'utf8');

const shell = (text) => [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map((m) => m[1]).join('\n');

/** The sections by alert; under '' what comes before the first. */
export function sections() {
  const [head, ...rest] = TEXT.split(/^## /m);
  return new Map([['', head], ...rest.map((s) => [s.slice(0, s.indexOf('\n')), s])]);
}

/** What a shell or a tool says of a command that is wrong itself. */
const WRONG = /command not found|syntax error|usage:|unknown (command|option|flag)|unexpected argument|wrong number of arguments|NOAUTH|admin key/i;

/** Runs an alert's commands; returns what they print. Throws when one of them is no command, or the last one fails. */
export async function look(alert, env) {
  const all = sections();
  const commands = shell(all.get(alert) ?? '');
  if (!commands) throw new Error(`the runbook has no commands for ${alert}`);
  const child = spawn('bash', ['-c', `${shell(all.get(''))}\n${commands}`], { env, timeout: 45_000 });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { printed += text; });
  const code = await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
  const wrong = WRONG.exec(printed);
  if (code !== 0 || wrong) throw new Error(`the runbook's commands for ${alert}: exit ${code}, ${wrong?.[0] ?? ''}\n${printed}`);
  return printed;
}
