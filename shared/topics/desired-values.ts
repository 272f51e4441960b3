/** A desired value; null: there is none. */
export type Desired = string | null;

/** A desired value of a Device that was set on its node and is to go into the API. */
export interface LocalDesiredValue {
  readonly property: string;
  readonly value: Desired;
  /** Values that the API may have without anybody having changed them there since: what the node knew, and sent before. */
  readonly bases: readonly Desired[];
  /** How long ago it was set, milliseconds. */
  readonly ageMs: number;
  /** Whether the age is by the wall clock of the node, because the node was restarted since; otherwise it is exact. */
  readonly isByClock: boolean;
}

/** All desired values of one Device that were set on its node. */
export interface LocalDesiredValues {
  readonly uid: string;
  /** By the clock of the node when it sent them, milliseconds since 1970. */
  readonly sentMs: number;
  readonly values: readonly LocalDesiredValue[];
}

/** A desired value was changed both on the node and in the API. */
export interface DesiredConflict {
  readonly property: string;
  readonly winner: "api" | "node";
  readonly nodeValue: Desired;
  readonly apiValue: Desired;
  /** Which rule decided. */
  readonly why: string;
}
