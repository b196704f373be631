/** Calls a function of the page. What it throws is reported as any event handler's is, and stops nothing here. */
export function call<Args extends unknown[]>(callback: ((...args: Args) => void) | undefined, ...args: Args): void {
  try {
    callback?.(...args);
  } catch (fault) {
    if (typeof reportError === 'function') reportError(fault);
    else setTimeout(() => { throw fault; });
  }
}
