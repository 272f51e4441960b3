/**
 * Something started. To start is to own: if `startX` returns, it works; if it throws, it has cleaned up.
 * Disposing drains, may be called many times, and joins a drain under way.
 */
export interface Running extends AsyncDisposable {
  readonly name: string;
  /** Resolves on a wanted end; rejects with the error that ended it otherwise. */
  readonly done: Promise<void>;
}

/** A `Running` over a stack of owned things; `failed` rejects when it fails without being stopped. */
export function running(name: string, stack: AsyncDisposableStack, failed?: Promise<never>): Running {
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => undefined);
  failed?.catch((error: unknown) => ended.reject(error));
  let disposal: Promise<void> | undefined;
  const dispose = async (): Promise<void> => {
    try {
      await stack.disposeAsync();
    } finally {
      ended.resolve();
    }
  };
  return {
    name,
    done: ended.promise,
    [Symbol.asyncDispose]: () => (disposal ??= dispose()),
  };
}
