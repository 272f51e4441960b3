/** One thing `check` looked at. */
export interface Finding {
  readonly state: "ok" | "warn" | "fail";
  readonly subject: string;
  /** What was seen. */
  readonly evidence: string;
  /** How to make it right; for `warn` and `fail`. */
  readonly remedy?: string;
}

export function ok(subject: string, evidence: string): Finding {
  return { state: "ok", subject, evidence };
}

export function warn(subject: string, evidence: string, remedy: string): Finding {
  return { state: "warn", subject, evidence, remedy };
}

export function fail(subject: string, evidence: string, remedy: string): Finding {
  return { state: "fail", subject, evidence, remedy };
}

/** One line a finding. */
export function formatFinding({ state, subject, evidence, remedy }: Finding): string {
  const tail = remedy === undefined ? "" : `; ${remedy}`;
  return `${state.padEnd(4)}  ${subject.padEnd(18)}  ${evidence}${tail}\n`;
}
