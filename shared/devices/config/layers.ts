import { nearest } from "#shared/errors";
import type { Device, DeviceModel, DeviceProperty, ModelProperty, ProtocolConfig } from "#shared/kube";

/** A field of a Device or DeviceModel that cannot be used. */
export interface MappingProblem {
  /** The object the field is in. */
  readonly kind: "Device" | "DeviceModel";
  /** e.g. `spec.properties[0].visitors.configData.topic` */
  readonly field: string;
  readonly value: unknown;
  /** What is wrong and what is expected. */
  readonly problem: string;
}

/** A field that is there. */
export type FoundField = Omit<MappingProblem, "problem">;

/** One `configData` in which a field may be set. */
export interface ConfigLayer {
  /** Whether it is for another protocol, whose keys are not known here. */
  readonly foreign?: boolean;
  readonly kind: MappingProblem["kind"];
  /** Field path of `config`, such as `spec.protocol.configData`. */
  readonly path: string;
  readonly config: Readonly<Record<string, unknown>>;
}

/** A property with what its Device and its model say of it. */
export interface DescribedProperty {
  readonly name: string;
  /** undefined: only the model has it */
  readonly device?: DeviceProperty | undefined;
  /** undefined: the model does not have it */
  readonly described: ModelProperty | undefined;
  /** The Device before its model: the first that has a field wins. */
  readonly layers: readonly ConfigLayer[];
}

/** The field in the first layer that has it. */
export function findField(layers: readonly ConfigLayer[], name: string): FoundField | undefined {
  const layer = layers.find(({ config }) => Object.hasOwn(config, name));
  const value = layer?.config[name] ?? undefined;
  return layer && value !== undefined
    ? { kind: layer.kind, field: `${layer.path}.${name}`, value }
    : undefined;
}

/** Problems of fields, each field once. */
export class ConfigProblems {
  readonly all: MappingProblem[] = [];

  add({ kind, field, value }: FoundField, problem: string): undefined {
    if (!this.all.some((known) => known.kind === kind && known.field === field))
      this.all.push({ kind, field, value, problem });
  }

  /** Adds keys that are close to a known key. Other unknown keys are left to mappers, which have keys of their own. */
  addMisspelled({ kind, path, config, foreign }: ConfigLayer, known: readonly string[]): void {
    if (foreign === true) return;
    for (const key of Object.keys(config)) {
      const meant = known.includes(key) ? undefined : nearest(key, known);
      if (meant === undefined) continue;
      const found = { kind, field: `${path}.${key}`, value: config[key] ?? null };
      this.add(found, `unknown key, did you mean ${JSON.stringify(meant)}?`);
    }
  }
}

/** The `configData` of the protocol of a Device. */
export function protocolLayer(device: Device): ConfigLayer {
  return {
    kind: "Device",
    path: "spec.protocol.configData",
    config: device.spec?.protocol?.configData ?? {},
  };
}

/** The properties of the Device and those only its model has. @param isOwn whether a protocol is the one that is read */
export function describeProperties(
  device: Device,
  model: DeviceModel | undefined,
  isOwn: (protocol: string) => boolean,
): DescribedProperty[] {
  const rest = new Map(
    model?.spec?.properties?.map((property, index) => [property.name, { property, index }]),
  );
  const listed = (device.spec?.properties ?? []).map((property, index): DescribedProperty => {
    const { name, visitors } = property;
    const found = rest.get(name);
    rest.delete(name);
    const own = layerOf("Device", { index, visitors, isOwn });
    const shared = found ? [modelLayer(found.property, found.index, { model, isOwn })] : [];
    return { name, device: property, described: found?.property, layers: [own, ...shared] };
  });
  const only = [...rest.values()].map(({ property, index }): DescribedProperty => ({
    name: property.name,
    described: property,
    layers: [modelLayer(property, index, { model, isOwn })],
  }));
  return [...listed, ...only];
}

/** The `configData` of a property of a model. */
export function modelLayer(
  { visitors }: ModelProperty,
  index: number,
  {
    model,
    isOwn,
  }: { readonly model: DeviceModel | undefined; readonly isOwn: (protocol: string) => boolean },
): ConfigLayer {
  const protocolName = model?.spec?.protocol;
  const all = { ...(protocolName === undefined ? {} : { protocolName }), ...visitors };
  return layerOf("DeviceModel", { index, visitors: all, isOwn });
}

function layerOf(
  kind: ConfigLayer["kind"],
  {
    index,
    visitors,
    isOwn,
  }: {
    readonly index: number;
    readonly visitors: ProtocolConfig | undefined;
    readonly isOwn: (protocol: string) => boolean;
  },
): ConfigLayer {
  const { protocolName, configData = {} } = visitors ?? {};
  const foreign = protocolName !== undefined && !isOwn(protocolName);
  return { kind, foreign, path: `spec.properties[${index}].visitors.configData`, config: configData };
}
