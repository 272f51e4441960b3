/** Steps that build on each other are one test: the runner may put tests in any order. */
export interface InOrder {
  /** Adds a step; its name is part of the error when it fails. */
  readonly step: (name: string, run: () => void | Promise<void>) => void;
  /** Runs all steps in the order they were added. */
  readonly run: () => Promise<void>;
}

export function inOrder(): InOrder {
  const steps: { readonly name: string; readonly run: () => void | Promise<void> }[] = [];
  return {
    step: (name, run) => void steps.push({ name, run }),
    run: async () => {
      for (const { name, run } of steps) {
        try {
          await run();
        } catch (cause) {
          throw new Error(`Step "${name}" failed: ${String(cause)}`, { cause });
        }
      }
    },
  };
}
