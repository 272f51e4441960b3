import { createHash } from "node:crypto";
import { itemsOf, metadataOf, textOf, type JsonObject } from "#shared/json";

/** Where client libraries look for the token of a pod's account. */
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
/** A pod may have the volume already: it was copied from another pod, or a webhook has added a container. */
const volumePrefix = "kube-api-access-";
/** Upstream's: a little more than an hour, to tell these tokens from those that somebody asked for. */
const tokenSeconds = 3607;

/**
 * Gives every container of a new pod the token of its account, the CA of the API and its namespace, as the ServiceAccount admission
 * of kube-apiserver does (plugin/pkg/admission/serviceaccount). A container that mounts something there keeps it.
 */
export function mountToken(pod: JsonObject, spec: JsonObject, account: JsonObject | undefined): void {
  const wanted = spec["automountServiceAccountToken"] ?? account?.["automountServiceAccountToken"];
  if (wanted === false) return;
  const fields = ["initContainers", "containers"];
  if (!fields.some((field) => itemsOf(spec, field).some(lacksMount))) return;
  const present = itemsOf(spec, "volumes").map((volume) => textOf(volume, "name"));
  const known = present.find((one) => one.startsWith(volumePrefix));
  const name = known ?? nameFor(pod);
  const mount = { name, readOnly: true, mountPath };
  for (const field of fields) {
    if (spec[field] === undefined) continue;
    spec[field] = itemsOf(spec, field).map((container) =>
      lacksMount(container)
        ? { ...container, volumeMounts: [...itemsOf(container, "volumeMounts"), mount] }
        : container,
    );
  }
  if (known !== undefined) return;
  spec["volumes"] = [
    ...itemsOf(spec, "volumes"),
    { name, projected: { sources: sources(), defaultMode: 0o644 } },
  ];
}

function lacksMount(container: JsonObject): boolean {
  return !itemsOf(container, "volumeMounts").some((mount) => textOf(mount, "mountPath") === mountPath);
}

/** Upstream's are random: of an object that is admitted again, as in a dry run, these are the same. */
function nameFor(pod: JsonObject): string {
  const uid = textOf(metadataOf(pod), "uid");
  return `${volumePrefix}${createHash("sha256").update(uid).digest("hex").slice(0, 5)}`;
}

function sources(): JsonObject[] {
  return [
    { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
    { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
    {
      downwardAPI: {
        items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
      },
    },
  ];
}
