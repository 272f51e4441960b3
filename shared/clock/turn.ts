/**
 * The turns of the event loop, for work that is gathered (all that arrives in one turn shares a commit or a write) or
 * shared out (a long list gives way to sockets). They are order, not time: tests have them as they are.
 */

/** Runs `run` once what has arrived by now has been read. */
export function onNextTurn(run: () => void): void {
  setImmediate(run);
}

/** Resolves once what has arrived by now has been read. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Runs `run` after the code that runs now, before anything else arrives. */
export function onNextMicrotask(run: () => void): void {
  queueMicrotask(run);
}
