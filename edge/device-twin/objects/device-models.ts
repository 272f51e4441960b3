import { sanitizeDevice, twinTypeOf } from "#shared/devices";
import type { Device, DeviceModel } from "#shared/kube";

/**
 * DeviceModels by `<namespace>/<name>`, with the twin types of their properties, which all devices of a model share.
 */
export class DeviceModels {
  readonly #models = new Map<string, DeviceModel>();
  readonly #types = new Map<string, ReadonlyMap<string, string | undefined>>();

  /** Adds or replaces a model; undefined removes it. */
  put(key: string, model: DeviceModel | undefined): void {
    if (!model) {
      this.#models.delete(key);
      this.#types.delete(key);
      return;
    }
    const sanitized = sanitizeDevice(model);
    this.#models.set(key, sanitized);
    const types = (sanitized.spec?.properties ?? []).map(
      (property) => [property.name, twinTypeOf(property)] as const,
    );
    this.#types.set(key, new Map(types));
  }

  /** The model of a device; undefined when it names none, or as long as this node does not have it. */
  of(device: Device): DeviceModel | undefined {
    return this.#models.get(modelKey(device));
  }

  typesOf(device: Device): ReadonlyMap<string, string | undefined> {
    return this.#types.get(modelKey(device)) ?? noTypes;
  }
}

const noTypes: ReadonlyMap<string, string | undefined> = new Map();

/** `<namespace>/<name>` of the model a device refers to. */
export function modelKey({ metadata, spec }: Device): string {
  return `${metadata.namespace}/${spec?.deviceModelRef?.name}`;
}
