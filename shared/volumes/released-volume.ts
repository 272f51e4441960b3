import { asRecord, asText, isRecord } from "#shared/json";
import type { KubeObject } from "#shared/kube";

const provisioner = "kubeedge.io/local-path";
const hostnameLabel = "kubernetes.io/hostname";

/**
 * The node that has to remove the directory of a volume whose claim was deleted; undefined when nobody has to. Volumes of
 * operators are theirs to empty, and so are those that are retained.
 */
export function removerOf({ metadata, ...volume }: KubeObject): string | undefined {
  const spec = asRecord(volume["spec"]);
  const isOver =
    asRecord(volume["status"])?.["phase"] === "Released" &&
    spec?.["persistentVolumeReclaimPolicy"] === "Delete" &&
    metadata.annotations?.["pv.kubernetes.io/provisioned-by"] === provisioner;
  return isOver ? nodeOf(spec) : undefined;
}

/** The only node that has the volume, as the provisioner writes it. */
function nodeOf(spec: Readonly<Record<string, unknown>>): string | undefined {
  const required = asRecord(asRecord(spec["nodeAffinity"])?.["required"]);
  const expressions = recordsIn(required?.["nodeSelectorTerms"]).flatMap((term) =>
    recordsIn(term["matchExpressions"]),
  );
  const named = expressions.find(({ key }) => key === hostnameLabel)?.["values"];
  const [name, ...others] = Array.isArray(named) ? named : [];
  return others.length === 0 ? asText(name) || undefined : undefined;
}

function recordsIn(value: unknown): Readonly<Record<string, unknown>>[] {
  return (Array.isArray(value) ? value : []).filter(isRecord);
}
