// deploy/INTEROP.md, from what the tests said.

const INTRODUCTION = `# Beside Node's servers

Written by \`make interop UPDATE=1\` from what [the tests](e2e/matrix.test.mjs) said; \`make interop\` fails if it differs. A
Node server with \`socket.io\` 4.8 and \`@socket.io/redis-streams-adapter\` 0.3 on the gateway's Redis is a member of its
cluster (the README says with which options). Each cell is a test with the real packages from npm: a server of the first
kind makes the call, and official clients of both kinds of server, or the servers themselves, say what came of it. Go's
servers are [the library's](e2e/interop) on the gateway's adapter and engine, so that each of its calls can be made; in
*Recovery* they are gateway nodes. *emitter* is who writes what \`@socket.io/redis-streams-emitter\` does: that one
package could not be fetched, so its format is written by the tests. An empty cell is a call that is not there to be made.

`;

const MARKS = ['¹', '²', '³', '⁴', '⁵', '⁶'];

/** The document: a row a feature, a column a direction. `ok` says that a cell's test passed. */
export function table(features, directions, ok) {
  const notes = [];
  const mark = (text) => {
    if (!notes.includes(text)) notes.push(text);
    return MARKS[notes.indexOf(text)];
  };
  const cell = (feature, from, to) => {
    if (!ok(feature, from, to)) return ' ';
    const why = feature.differs?.(from, to);
    return why ? `no${mark(why)}` : '✓';
  };
  const lines = [];
  let group;
  for (const feature of features) {
    if (feature.group !== group) {
      ({ group } = feature);
      lines.push(`\n## ${group}\n\n| | ${directions.map(([from, to]) => `${from} → ${to}`).join(' | ')} |\n|---${'|:-:'.repeat(directions.length)}|`);
    }
    lines.push(`| ${feature.name} | ${directions.map(([from, to]) => cell(feature, from, to)).join(' | ')} |`);
  }
  const footnotes = notes.map((text, i) => `${MARKS[i]} ${text}.`).join('\n\n');
  return `${INTRODUCTION.trimEnd()}\n${lines.join('\n')}\n\n${footnotes}\n`;
}
