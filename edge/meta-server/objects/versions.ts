/**
 * Resource versions of what the node answers: `8` + 8 digits of the run of edgecore + 10 digits of its changes. Versions of the
 * API mean nothing here and these mean nothing to the API, whose revisions never get that high: a client that brings one to the
 * other is asked to list again.
 */
const form = /^8(\d{8})(\d{10})$/;

/** Whether a version was given by a node, this run of edgecore or another. */
export function isNodeVersion(version: string): boolean {
  return form.test(version);
}

/** The versions of one run. */
export class NodeVersions {
  readonly #run: string;

  /** @param random in [0, 1): another one each run */
  constructor(random: number) {
    this.#run = String(Math.floor(random * 100_000_000)).padStart(8, "0");
  }

  format(change: number): string {
    return `8${this.#run}${String(change).padStart(10, "0")}`;
  }

  /** The change of a version of this run. */
  parse(version: string): number | undefined {
    const [, run, change] = form.exec(version) ?? [];
    return run === this.#run ? Number(change) : undefined;
  }
}
