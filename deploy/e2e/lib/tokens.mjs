// Tokens, minted here rather than by the gateway, so that the two check each other.

import { createHmac } from 'node:crypto';

export const SECRET = 'end-to-end-secret-of-at-least-32-bytes';

const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A signed JWT with exactly these claims. */
export function sign(claims, { alg = 'HS256', secret = SECRET } = {}) {
  const head = `${part({ alg, typ: 'JWT' })}.${part(claims)}`;
  if (alg === 'none') return `${head}.`;
  const hash = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }[alg] ?? 'sha256';
  return `${head}.${createHmac(hash, secret).update(head).digest('base64url')}`;
}

/** The token of a user with a role, valid for `ttl` seconds. */
export function token(user, role, { ttl = 3600, ...claims } = {}) {
  const now = Math.floor(Date.now() / 1000);
  return sign({ sub: user, role, iat: now, exp: now + ttl, ...claims });
}
