import type { Timers } from './backoff.js';
import type { TokenReason } from './types.js';

/**
 * Asks the page for tokens, one call at a time: two at once would use a rotating refresh token twice, which identity
 * providers take for a theft.
 */
export class Tokens {
  private asked: Promise<string | undefined> | undefined;

  /** `patience` is how long a call may take, in milliseconds; `tell` is told of calls that failed. */
  constructor(
    private readonly getToken: (reason: TokenReason) => string | Promise<string>,
    private readonly timers: Timers,
    private readonly tell: (fault: unknown) => void,
    private readonly patience: number,
  ) {}

  /** A token, or undefined if there is none now. Who asks while a call is out shares its answer. */
  get(reason: TokenReason): Promise<string | undefined> {
    this.asked ??= this.ask(reason).finally(() => {
      this.asked = undefined;
    });
    return this.asked;
  }

  private async ask(reason: TokenReason): Promise<string | undefined> {
    try {
      const token: unknown = await this.timers.within(this.patience, async () => this.getToken(reason));
      if (typeof token === 'string' && token !== '') return token;
      throw new Error('getToken gave no token');
    } catch (fault) {
      this.tell(fault);
      return undefined;
    }
  }
}
