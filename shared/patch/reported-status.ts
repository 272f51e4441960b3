import { asRecord, isRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";

type Fields = Readonly<Record<string, unknown>>;

/**
 * A pod with the status that this node last reported: a strategic merge patch in which null removes a field, markers that
 * replace a list are left out, and conditions are merged by type.
 */
export function withReportedStatus(pod: KubeObject, patch: unknown): KubeObject {
  const reported = asRecord(asRecord(patch)?.["status"]);
  const uid = asRecord(asRecord(patch)?.["metadata"])?.["uid"];
  if (!reported || uid !== pod.metadata.uid) return pod;
  const known: Fields = asRecord(pod["status"]) ?? {};
  const status: Record<string, unknown> = { ...known };
  for (const [field, value] of Object.entries(reported)) {
    if (value === null) delete status[field];
    else if (field === "conditions") status[field] = mergedConditions(known[field], value);
    else status[field] = withoutMarkers(value);
  }
  return { ...pod, status };
}

function withoutMarkers(value: unknown): unknown {
  return Array.isArray(value) ? value.filter((item) => !isRecord(item) || !("$patch" in item)) : value;
}

function mergedConditions(known: unknown, reported: unknown): unknown[] {
  const list = (value: unknown): Fields[] => (Array.isArray(value) ? value.filter(isRecord) : []);
  const fresh = list(reported).filter((condition) => !("$patch" in condition));
  const types = new Set(fresh.map(({ type }) => type));
  return [...list(known).filter(({ type }) => !types.has(type)), ...fresh];
}
