import type { CloudRecord } from "#edge/store";

export interface Meeting {
  readonly held: boolean;
  /** What is to be remembered; undefined: nothing new. */
  readonly record?: CloudRecord;
}

/** What to do with a cloud that says which database it has, if it does; clouds that do not are accepted. */
export function meetCloud(known: CloudRecord | undefined, name: string | undefined, nowMs: number): Meeting {
  if (name === undefined) return { held: false };
  if (!known) return { held: false, record: { name, other: null, heldSince: null } };
  if (known.name === name)
    return known.heldSince === null
      ? { held: false }
      : { held: false, record: { ...known, heldSince: null } };
  if (known.heldSince !== null && known.other === name) return { held: true };
  return { held: true, record: { ...known, other: name, heldSince: nowMs } };
}
