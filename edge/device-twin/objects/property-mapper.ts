import { readMapping, type DeviceMapping, type MappingProblem } from "#shared/devices";
import { validateDevice, type Device } from "#shared/kube";
import type { Logger } from "#shared/log";
import type { BoundDevice } from "#edge/device-twin/devices";
import type { DeviceWarnings } from "#edge/device-twin/events";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { retype, unlistedSince, type ListedProperties } from "#edge/device-twin/twins";
import type { PlainDevices } from "#edge/device-twin/values";
import type { DeviceModels } from "./device-models.ts";

export interface PropertyMapperParts {
  readonly commit: GroupCommit;
  readonly models: DeviceModels;
  readonly plain: Pick<PlainDevices, "watch">;
  readonly warnings: Pick<DeviceWarnings, "deviceProblems" | "contradictions" | "modelProblems">;
  readonly log: Logger;
}

/** Gives a device the topics, types and properties that its Device object and its model list. */
export class PropertyMapper {
  readonly #parts: PropertyMapperParts;

  constructor(parts: PropertyMapperParts) {
    this.#parts = parts;
  }

  /** Undone when the commit fails, for which the caller waits. */
  map(device: BoundDevice, object: Device): void {
    const { commit, models, plain } = this.#parts;
    const { mapping: mappingBefore, said, listed: listedBefore, lastListed } = device;
    const model = models.of(object);
    const { mapping, problems } = readMapping(object, model);
    this.#report(device, object, problems);
    plain.watch(device, mapping);
    commit.onRollback(() =>
      Object.assign(device, { mapping: mappingBefore, said, listed: listedBefore, lastListed }),
    );
    const topicsOf = (one: DeviceMapping | undefined): string =>
      one?.state?.sources.map(({ topic }) => topic).join("\n") ?? "";
    if (topicsOf(mapping) !== topicsOf(mappingBefore)) device.said = undefined;
    device.mapping = mapping;
    device.listed = {
      deviceProperties: object.spec?.properties ?? [],
      modelTypes: models.typesOf(object),
      isComplete: model !== undefined || !object.spec?.deviceModelRef?.name,
    };
    for (const [name, type] of device.listed.modelTypes) this.#retype(device, name, type);
    this.#prune(device, device.listed);
  }

  #report(device: BoundDevice, object: Device, problems: readonly MappingProblem[]): void {
    const { warnings, log, models } = this.#parts;
    const model = models.of(object);
    if (problems.length > 0) log.warn("fields of a device cannot be used", { device: device.id, problems });
    warnings.deviceProblems(object, problems);
    warnings.contradictions(object, () => validateDevice(object, models.of(object)));
    if (model) warnings.modelProblems(model, problems);
  }

  /** Removes the twins of properties that are no longer listed; twins that a client made stay. */
  #prune(device: BoundDevice, listed: ListedProperties): void {
    if (!listed.isComplete) return;
    const removed = unlistedSince(device.lastListed, listed).filter((name) => device.twins.has(name));
    for (const name of removed) this.#parts.commit.setTwin(device, name, undefined);
    device.lastListed = listed;
  }

  #retype(device: BoundDevice, name: string, type: string | undefined): void {
    const before = device.twins.get(name);
    const after = before && type !== undefined ? retype(before, type) : undefined;
    if (after) this.#parts.commit.setTwin(device, name, after);
  }
}
