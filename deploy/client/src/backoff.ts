/** Waits that double, each spread over half to one and a half of it, so that clients do not come all at once. */
export class Backoff {
  private tries = 0;

  constructor(private readonly min: number, private readonly max: number) {}

  /** Milliseconds until the next attempt, `least` or more. */
  next(least = 0): number {
    const wait = Math.min(this.max, Math.max(this.min, least) * 2 ** this.tries);
    this.tries += 1;
    return Math.max(least, Math.round(wait * (0.5 + Math.random())));
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
    if (this.ended) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.pending.delete(timer);
        resolve();
      }, ms);
      this.pending.set(timer, resolve);
    });
  }

  end(): void {
    this.ended = true;
    for (const [timer, resolve] of this.pending) {
      clearTimeout(timer);
      resolve();
    }
    this.pending.clear();
  }
}
