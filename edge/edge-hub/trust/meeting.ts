import type { CloudRecord } from "#edge/store";

export interface CloudMeeting {
  readonly held: boolean;
  /** What is to be stored; undefined: nothing new. */
  readonly record?: CloudRecord;
}

/** What to do with a cloud that announces its database; clouds that announce none, as KubeEdge's, are accepted. */
export function meetCloud(
  known: CloudRecord | undefined,
  name: string | undefined,
  nowMs: number,
): CloudMeeting {
  if (name === undefined) return { held: false };
  if (!known) return { held: false, record: { name, other: null, heldSince: null } };
  if (known.name === name)
    return known.heldSince === null
      ? { held: false }
      : { held: false, record: { ...known, heldSince: null } };
  if (known.heldSince !== null && known.other === name) return { held: true };
  return { held: true, record: { ...known, other: name, heldSince: nowMs } };
}
