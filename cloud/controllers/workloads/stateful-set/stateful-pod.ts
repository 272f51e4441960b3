import { resources } from "#cloud/kube-client";
import type { ControllerRevision, PersistentVolumeClaim, StatefulSet } from "#cloud/controllers/framework";
import { podFromTemplate } from "#cloud/controllers/workloads/pods";
import type { Pod, Volume } from "#shared/kube";

export const revisionLabel = "controller-revision-hash";
const nameLabel = "statefulset.kubernetes.io/pod-name";
const indexLabel = "apps.kubernetes.io/pod-index";

export function podName({ metadata }: StatefulSet, ordinal: number): string {
  return `${metadata.name ?? ""}-${ordinal}`;
}

/** The number of a pod of the set; undefined when its name is not of this set. */
export function ordinalOf(set: StatefulSet, { metadata }: Pod): number | undefined {
  const { name = "" } = metadata;
  const digits = name.slice((set.metadata.name ?? "").length + 1);
  return /^(0|[1-9]\d{0,8})$/.test(digits) && name === podName(set, Number(digits))
    ? Number(digits)
    : undefined;
}

export function identityLabels(set: StatefulSet, ordinal: number): Record<string, string> {
  return { [nameLabel]: podName(set, ordinal), [indexLabel]: String(ordinal) };
}

/** The pod of a number, of the template that a revision holds; as newStatefulSetPod of stateful_set_utils.go. */
export function statefulPod(set: StatefulSet, ordinal: number, revision: ControllerRevision): Pod {
  const template = templateOf(set, revision);
  const { metadata, spec } = podFromTemplate(resources.statefulSets, {
    ...set,
    spec: { ...set.spec, template },
  });
  const { generateName: _generated, labels, ...rest } = metadata;
  const name = podName(set, ordinal);
  const { serviceName } = set.spec;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...rest,
      name,
      labels: { ...labels, ...identityLabels(set, ordinal), [revisionLabel]: revision.metadata.name ?? "" },
    },
    spec: {
      ...spec,
      hostname: name,
      ...(serviceName && { subdomain: serviceName }),
      ...volumesOf(set, ordinal, spec.volumes),
    },
  };
}

function templateOf(set: StatefulSet, { data }: ControllerRevision): StatefulSet["spec"]["template"] {
  const kept = data?.spec?.template;
  if (!kept) return set.spec.template;
  const { $patch: _patch, ...template } = kept;
  return template;
}

/** The volume of a claim template takes the place of one of the same name. */
function volumesOf(set: StatefulSet, ordinal: number, given: Volume[] = []): { volumes?: Volume[] } {
  const claims = claimsOf(set, ordinal).map(({ template, name }): Volume => ({
    name: template,
    persistentVolumeClaim: { claimName: name },
  }));
  const names = new Set(claims.map(({ name }) => name));
  const volumes = [...claims, ...given.filter(({ name }) => !names.has(name))];
  return volumes.length > 0 ? { volumes } : {};
}

export interface TemplateClaim {
  /** The name of the claim template. */
  readonly template: string;
  readonly name: string;
  readonly claim: PersistentVolumeClaim;
}

/** The claims of the pod of a number: their names stay when the pod is replaced. */
export function claimsOf(set: StatefulSet, ordinal: number): TemplateClaim[] {
  const { namespace = "" } = set.metadata;
  return (set.spec.volumeClaimTemplates ?? []).map(({ metadata, spec }) => {
    const { name: template = "", labels, annotations } = metadata;
    const name = `${template}-${podName(set, ordinal)}`;
    return {
      template,
      name,
      claim: {
        apiVersion: "v1",
        kind: "PersistentVolumeClaim",
        metadata: {
          name,
          namespace,
          labels: { ...labels, ...set.spec.selector.matchLabels },
          ...(annotations && { annotations }),
        },
        spec,
      },
    };
  });
}
