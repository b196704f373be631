// Stands between one node and Redis and can swallow what the node reads of the log, and nothing else: the answers on
// connections over which it sent XREAD, which no other part of it does.

import { connect, createServer } from 'node:net';
import { once } from 'node:events';

// The command's name on the wire; XREADGROUP's begins with another length.
const XREAD = '$5\r\nxread\r\n';

export class LogTap {
  deaf = false;

  held = new Set();

  static async start(redisPort, port) {
    const tap = new LogTap();
    tap.server = createServer((down) => tap.carry(down, redisPort));
    tap.server.listen(port, '127.0.0.1');
    await once(tap.server, 'listening');
    return tap;
  }

  carry(down, redisPort) {
    const up = connect(redisPort, '127.0.0.1');
    let tail = '';
    let reads = false;
    down.on('data', (bytes) => {
      if (!reads) {
        const text = tail + bytes.toString('latin1').toLowerCase();
        reads = text.includes(XREAD);
        tail = text.slice(-XREAD.length);
      }
      up.write(bytes);
    });
    up.on('data', (bytes) => {
      if (!(this.deaf && reads)) down.write(bytes);
    });
    for (const [socket, other] of [[down, up], [up, down]]) {
      socket.on('error', () => {});
      socket.on('close', () => other.destroy());
    }
    this.held.add(down);
    down.on('close', () => this.held.delete(down));
  }

  stop() {
    this.server.close();
    this.held.forEach((socket) => socket.destroy());
  }
}
