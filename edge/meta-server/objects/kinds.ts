/** A kind of which the node may have objects. */
export interface HeldKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
  /** Type of its rows in the node's database, KubeEdge's word for it on the link. */
  readonly type: string;
}

const core = { group: "", version: "v1", namespaced: true } as const;
const devices = { group: "devices.kubeedge.io", version: "v1beta1", namespaced: true } as const;
const ownRules = { group: "rules.kubeedge.io", version: "v1alpha1", namespaced: true } as const;
const rules = { group: "rules.kubeedge.io", version: "v1", namespaced: true } as const;

const kind = (
  base: Pick<HeldKind, "group" | "version" | "namespaced">,
  name: string,
  ...shortNames: readonly string[]
): HeldKind => {
  const lower = name.toLowerCase();
  const plural = lower === "endpoints" ? lower : `${lower}s`;
  return { ...base, kind: name, plural, shortNames, type: lower };
};

export const podKind = kind(core, "Pod", "po");

export const deviceKind = kind(devices, "Device");
export const modelKind = kind(devices, "DeviceModel");

/** What a cloud sends to nodes. Services and Endpoints come from KubeEdge up to 1.7 alone. */
export const heldKinds: readonly HeldKind[] = [
  kind(core, "ConfigMap", "cm"),
  kind(core, "Endpoints", "ep"),
  kind({ ...core, namespaced: false }, "Node", "no"),
  podKind,
  kind(core, "Secret"),
  kind(core, "Service", "svc"),
  deviceKind,
  modelKind,
  kind(rules, "Rule"),
  kind(rules, "RuleEndpoint"),
  kind(ownRules, "DeviceRule"),
];

export function apiVersionOf({ group, version }: Pick<HeldKind, "group" | "version">): string {
  return group === "" ? version : `${group}/${version}`;
}

export function findKind(group: string, version: string, plural: string): HeldKind | undefined {
  return heldKinds.find((held) => held.group === group && held.version === version && held.plural === plural);
}
