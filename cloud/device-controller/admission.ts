import { readDeviceRule } from "#shared/device-rules";
import { modelPropertyProblems, readMapping, type MappingProblem } from "#shared/devices";
import {
  validateDevice,
  validateDeviceModel,
  type Device,
  type DeviceCause,
  type DeviceModel,
  type DeviceRule,
  type KubeObject,
} from "#shared/kube";

const group = "devices.kubeedge.io";

/** Finds a stored object by group, plural and key. */
type Lookup = (
  group: string,
  plural: string,
  key: { readonly namespace: string; readonly name: string },
) => KubeObject | undefined;

/**
 * What the API refuses of Devices and DeviceModels beyond their schema: what contradicts the model (see the rules in
 * `#shared/kube`) and descriptions for MQTT that no node can use. A model may be created, changed and deleted whatever its
 * devices want: a Device is validated when it changes itself, and its node reports the contradiction as an Event.
 */
export function admitDevices(object: KubeObject, lookup: Lookup): readonly DeviceCause[] {
  if (object.apiVersion?.startsWith("rules.kubeedge.io/") === true && object.kind === "DeviceRule")
    return admitRule(object);
  if (object.apiVersion?.startsWith(`${group}/`) !== true) return [];
  if (object.kind === "DeviceModel") {
    const model: DeviceModel = object;
    return [...validateDeviceModel(model), ...modelPropertyProblems(model).map(toCause)];
  }
  if (object.kind !== "Device") return [];
  const device: Device = object;
  const name = device.spec?.deviceModelRef?.name;
  const namespace = device.metadata.namespace ?? "default";
  const model: DeviceModel | undefined = name
    ? lookup(group, "devicemodels", { namespace, name })
    : undefined;
  const problems = readMapping(device, model).problems.map((problem) =>
    problem.kind === "Device" ? toCause(problem) : ofModel(problem, name),
  );
  return [...validateDevice(device, model), ...problems];
}

/** A rule that no node could run. */
function admitRule(rule: DeviceRule): DeviceCause[] {
  const read = readDeviceRule(rule);
  return read.ok ? [] : read.problems.map(toCause);
}

function toCause({
  field,
  value,
  problem,
}: Pick<MappingProblem, "field" | "value" | "problem">): DeviceCause {
  return {
    reason: "FieldValueInvalid",
    field,
    message: `Invalid value: ${JSON.stringify(value)}: ${problem}`,
  };
}

/** The device is right, what it takes from its model is not. */
function ofModel({ field, value, problem }: MappingProblem, model: string | undefined): DeviceCause {
  return {
    reason: "FieldValueInvalid",
    field: "spec.deviceModelRef.name",
    message: `Invalid value: ${JSON.stringify(model)}: its ${field} is ${JSON.stringify(value)}: ${problem}`,
  };
}
