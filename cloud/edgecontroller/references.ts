import type { Container, Pod, Volume } from "#shared/kube";

/** `configmap/<namespace>/<name>` or `secret/<namespace>/<name>`. */
export type Reference = string;

type Kind = "configmap" | "secret";
type Found = readonly [Kind, string | undefined];

interface Named {
  readonly name?: string;
}

export function reference(kind: string, namespace: string, name: string): Reference {
  return `${kind}/${namespace}/${name}`;
}

/** Every ConfigMap and Secret a pod reads, whether it is optional or not. */
export function referencesOf(pod: Pod): Set<Reference> {
  const { spec } = pod;
  const found = [
    ...(spec.volumes ?? []).flatMap(ofVolume),
    ...[...(spec.initContainers ?? []), ...(spec.containers ?? [])].flatMap(ofContainer),
    ...(spec.imagePullSecrets ?? []).map(({ name }): Found => ["secret", name]),
  ];
  const namespace = pod.metadata.namespace ?? "default";
  const named = found.flatMap(([kind, name]) => (name ? [reference(kind, namespace, name)] : []));
  return new Set(named);
}

function ofVolume(volume: Volume): Found[] {
  const sources = (volume.projected?.sources ?? []) as { configMap?: Named; secret?: Named }[];
  return [
    ["configmap", volume.configMap?.name],
    ["secret", volume.secret?.secretName],
    ...sources.flatMap(({ configMap, secret }): Found[] => [
      ["configmap", configMap?.name],
      ["secret", secret?.name],
    ]),
  ];
}

function ofContainer({ env = [], envFrom = [] }: Container): Found[] {
  return [
    ...envFrom.flatMap(({ configMapRef, secretRef }): Found[] => [
      ["configmap", configMapRef?.name],
      ["secret", secretRef?.name],
    ]),
    ...env.flatMap(({ valueFrom }): Found[] => [
      ["configmap", valueFrom?.configMapKeyRef?.name],
      ["secret", valueFrom?.secretKeyRef?.name],
    ]),
  ];
}
