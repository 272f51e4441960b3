import { createHash } from "node:crypto";
import { asRecord, isRecord, recordOf } from "#shared/json";
import {
  configHashAnnotation,
  configSourceAnnotation,
  mirrorAnnotation,
  mirrorFault,
  type Pod,
} from "#shared/kube";
import { findUnusable } from "#edge/edged/pods";

export type ReadPod =
  { readonly pod: Pod; readonly fault?: undefined } | { readonly pod?: undefined; readonly fault: string };

/**
 * The pod in a file, as kubelet reads it (pkg/kubelet/config: tryDecodeSinglePod, applyDefaults): one pod in YAML or JSON, named
 * for this node, with a uid that follows from what it says.
 */
export function readPod(text: string, file: string, nodeName: string): ReadPod {
  const parsed = parse(text);
  if (typeof parsed === "string") return { fault: parsed };
  const { apiVersion, kind } = parsed.object;
  if (apiVersion !== "v1" || kind !== "Pod")
    return { fault: `expected apiVersion v1 and kind Pod, got ${shown(apiVersion)} and ${shown(kind)}` };
  const metadata = asRecord(parsed.object["metadata"]);
  if (typeof metadata?.["name"] !== "string") return { fault: "metadata.name: expected a name" };
  const hash = createHash("sha256")
    .update(JSON.stringify([nodeName, file, parsed.object]))
    .digest("hex");
  const pod = complete(parsed.object, { metadata, nodeName, uid: hash.slice(0, 32) });
  const fault = findUnusable(pod) ?? mirrorFault(pod);
  return fault === undefined ? { pod } : { fault };
}

/** Whether a uid is one of these: those of the API have dashes. */
export function isStaticUid(uid: string): boolean {
  return /^[0-9a-f]{32}$/.test(uid);
}

function parse(text: string): { readonly object: Readonly<Record<string, unknown>> } | string {
  let value: unknown;
  try {
    value = text.trimStart().startsWith("{") ? JSON.parse(text) : Bun.YAML.parse(text);
  } catch (error) {
    return `neither YAML nor JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (Array.isArray(value)) return `expected one pod in a file, got ${value.length}`;
  return isRecord(value) ? { object: value } : "expected a pod, got something else";
}

interface Known {
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly nodeName: string;
  readonly uid: string;
}

function complete(object: Readonly<Record<string, unknown>>, { metadata, nodeName, uid }: Known): Pod {
  const { [mirrorAnnotation]: _mirror, ...annotations } = recordOf(metadata["annotations"]);
  const spec = withTexts(recordOf(object["spec"]));
  const tolerations = Array.isArray(spec["tolerations"]) ? (spec["tolerations"] as unknown[]) : [];
  // Its parts are checked by `findUnusable`.
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: `${String(metadata["name"])}-${nodeName}`,
      namespace: typeof metadata["namespace"] === "string" ? metadata["namespace"] : "default",
      uid,
      ...(asRecord(metadata["labels"]) && { labels: metadata["labels"] }),
      annotations: { ...annotations, [configSourceAnnotation]: "file", [configHashAnnotation]: uid },
    },
    spec: { ...spec, nodeName, tolerations: [...tolerations, { operator: "Exists", effect: "NoExecute" }] },
  } as unknown as Pod;
}

/** Kubernetes reads amounts that are written as numbers; here they are texts. */
function withTexts(value: Readonly<Record<string, unknown>>, isAmounts = false): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (isAmounts && typeof inner === "number") return [key, String(inner)];
      if (key === "sizeLimit" && typeof inner === "number") return [key, String(inner)];
      if (Array.isArray(inner))
        return [key, inner.map((one: unknown) => (isRecord(one) ? withTexts(one) : one))];
      return [key, isRecord(inner) ? withTexts(inner, key === "limits" || key === "requests") : inner];
    }),
  );
}

function shown(value: unknown): string {
  return value === undefined ? "nothing" : JSON.stringify(value);
}
