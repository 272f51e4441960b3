/** A value that does not match the property it was sent for. */
export interface RejectedValue {
  /** Name of the property, or "the state". */
  readonly name: string;
  /** What is wrong, with the first characters of the value. */
  readonly problem: string;
}

/** The first characters of a payload, in quotes. */
export function excerpt(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}
