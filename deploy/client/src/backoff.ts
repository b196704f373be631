/** The shortest wait, in milliseconds, whatever is asked for: none at all would be a storm. */
const FLOOR = 100;

/** Waits that double, each spread over half to one and a half of it, so that clients do not come all at once. */
export class Backoff {
  private tries = 0;

  constructor(private readonly min: number, private readonly max: number) {}

  /** Milliseconds until the next attempt: `least` or more, and spread above it, for others were told the same. */
  next(least = 0): number {
    const wait = Math.max(least, FLOOR, Math.min(this.max, Math.max(this.min, least) * 2 ** this.tries));
    this.tries += 1;
    const low = Math.max(least, wait / 2);
    return Math.round(low + Math.random() * (wait * 1.5 - low));
  }

  reset(): void {
    this.tries = 0;
  }
}

/** Timers that end together, for good. */
export class Timers {
  private ended = false;
  private readonly pending = new Map<ReturnType<typeof setTimeout>, () => void>();

  /** Resolves after `ms`, or when all are ended. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, resolve));
  }

  /** What `start` resolves to; rejects if that takes over `ms`, or when all are ended. */
  within<T>(ms: number, start: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.after(ms, () => reject(new Error(`no answer within ${ms} ms`)));
      start().then(resolve, reject).finally(cancel);
    });
  }

  end(): void {
    this.ended = true;
    for (const [timer, go] of this.pending) {
      clearTimeout(timer);
      go();
    }
    this.pending.clear();
  }

  private after(ms: number, go: () => void): () => void {
    if (this.ended) {
      go();
      return () => undefined;
    }
    const timer = setTimeout(() => {
      this.pending.delete(timer);
      go();
    }, ms);
    this.pending.set(timer, go);
    return () => {
      clearTimeout(timer);
      this.pending.delete(timer);
    };
  }
}
