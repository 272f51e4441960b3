import { describeError } from "#shared/errors";

/** What is wrong with a part of the program; undefined while it works. May throw instead. */
export type HealthCheck = () => string | undefined;

/** The parts of a program that can tell whether they still work. */
export class HealthChecks {
  readonly #checks = new Map<string, HealthCheck>();

  add(name: string, check: HealthCheck): Disposable {
    this.#checks.set(name, check);
    return {
      [Symbol.dispose]: () => {
        if (this.#checks.get(name) === check) this.#checks.delete(name);
      },
    };
  }

  /** The parts that do not work, each with what is wrong. */
  problems(): string[] {
    return [...this.#checks].flatMap(([name, check]) => {
      try {
        const problem = check();
        return problem === undefined ? [] : [`${name}: ${problem}`];
      } catch (error) {
        return [`${name}: ${describeError(error)}`];
      }
    });
  }
}
