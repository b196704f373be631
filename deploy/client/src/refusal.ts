import type { RefusalCode } from './events.js';
import type { EndReason, WaitReason } from './types.js';

/** What is to be done after a connect that failed. */
export interface Verdict {
  /** It cannot succeed: the client ends. */
  end?: EndReason;
  wait: WaitReason;
  /** The shortest wait, in milliseconds. */
  least: number;
  /** Another token is needed. */
  refused?: Exclude<RefusalCode, 'server_full' | 'rate_limited' | 'token_revoked' | 'role_unknown'>;
}

// Where the gateway has no place, or has been asked too often, a second is no wait.
const BUSY = 5000;

/** Judges socket.io-client's connect_error: a refusal by the gateway, or a transport's failure. */
export function judge(error: unknown): Verdict {
  const code = member(member(error, 'data'), 'code') as RefusalCode | undefined;
  switch (code) {
    case 'token_revoked':
    case 'role_unknown':
      return { end: code, wait: 'token_refused', least: 0 };
    case 'token_missing':
    case 'token_invalid':
    case 'token_expired':
      return { wait: 'token_refused', least: 0, refused: code };
    case 'server_full':
    case 'rate_limited':
      return { wait: code, least: BUSY };
    default: {
      const status = member(error, 'description');
      const busy = status === 429 || status === 503;
      return { wait: busy ? 'rate_limited' : 'unreachable', least: busy ? retryAfter(error) : 0 };
    }
  }
}

/** The Retry-After of a polling request that was refused, in milliseconds, as far as it can be read. */
function retryAfter(error: unknown): number {
  const request = member(error, 'context');
  const header = member(request, 'getResponseHeader');
  if (typeof header !== 'function') return BUSY;
  const seconds = Number(header.call(request, 'Retry-After') ?? NaN);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 60) * 1000 : BUSY;
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
