import { asText, childOf, isObject, itemsOf, metadataOf, textOf, type JsonObject } from "#shared/json";
import { refusePod, type PodTarget } from "#shared/pod-streams";

/** The pod of a request, as the API has it. */
export interface ChosenPod {
  readonly target: PodTarget;
  /** Empty while it is not scheduled. */
  readonly node: string;
  readonly spec: JsonObject;
}

export function podOf(pod: JsonObject): ChosenPod {
  const { namespace, name, uid } = metadataOf(pod);
  const spec = childOf(pod, "spec") ?? {};
  return {
    target: { namespace: asText(namespace), name: asText(name), uid: asText(uid) },
    node: textOf(spec, "nodeName") ?? "",
    spec,
  };
}

/**
 * The container that is asked for, or the only one (`validateContainer` of `registry/core/pod`). Which one kubectl takes by
 * default of several, it decides itself.
 * @throws PodRefusal (BadRequest) naming those that there are
 */
export function containerOf({ target, spec }: ChosenPod, asked: string): string {
  const containers = namesOf(spec, "containers");
  const all = [...namesOf(spec, "initContainers"), ...containers, ...namesOf(spec, "ephemeralContainers")];
  if (asked !== "") {
    if (all.includes(asked)) return asked;
    throw refusePod.badRequest(`container ${asked} is not valid for pod ${target.name}`);
  }
  const [only] = containers;
  if (only !== undefined && containers.length === 1) return only;
  const choices = containers.length === 0 ? "" : `, choose one of: [${all.join(" ")}]`;
  throw refusePod.badRequest(`a container name must be specified for pod ${target.name}${choices}`);
}

/** @throws PodRefusal (BadRequest) while the pod is not scheduled */
export function hostOf({ target, node }: ChosenPod): string {
  if (node === "") throw refusePod.badRequest(`pod ${target.name} does not have a host assigned`);
  return node;
}

function namesOf(spec: JsonObject, field: string): string[] {
  return itemsOf(spec, field).flatMap((one) => (isObject(one) ? [asText(one["name"])] : []));
}
