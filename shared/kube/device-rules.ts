import type { Device, DeviceModel, ModelProperty } from "./device.ts";

/** One thing wrong with an object, as metav1.StatusCause has it. */
export interface DeviceCause {
  readonly reason: "FieldValueInvalid" | "FieldValueForbidden" | "FieldValueDuplicate";
  readonly message: string;
  readonly field: string;
}

/**
 * What is invalid in a Device: a node that cannot be, and what contradicts its model (unknown properties, desired values
 * of the wrong type or out of range, and desired values of read-only properties). A device may come before its model.
 */
export function validateDevice(device: Device, model: DeviceModel | undefined): DeviceCause[] {
  return [...judgeNode(device), ...judgeByModel(device, model)];
}

function judgeNode({ spec }: Device): DeviceCause[] {
  const name = spec?.nodeName;
  if (!name || (name.length <= 253 && dnsName.test(name))) return [];
  return [invalid("spec.nodeName", name, "must be the name of a node, a lower-case DNS name such as edge-1")];
}

function judgeByModel(device: Device, model: DeviceModel | undefined): DeviceCause[] {
  const modelName = device.spec?.deviceModelRef?.name;
  if (!modelName || !model) return [];
  const known = new Map((model.spec?.properties ?? []).map((property) => [property.name, property]));
  return (device.spec?.properties ?? []).flatMap(({ name, desired }, index) => {
    const path = `spec.properties[${index}]`;
    const property = known.get(name);
    if (!property) return [notInModel(`${path}.name`, name, modelName)];
    return desired?.value ? judgeDesired(`${path}.desired`, desired.value, property) : [];
  });
}

/** What is invalid in a DeviceModel. */
export function validateDeviceModel(model: DeviceModel): DeviceCause[] {
  const seen = new Set<string>();
  return (model.spec?.properties ?? []).flatMap((property, index) => {
    const path = `spec.properties[${index}]`;
    const twice = seen.has(property.name);
    seen.add(property.name);
    const causes: DeviceCause[] = twice
      ? [
          {
            reason: "FieldValueDuplicate",
            field: `${path}.name`,
            message: `Duplicate value: ${JSON.stringify(property.name)}`,
          },
        ]
      : [];
    for (const field of ["minimum", "maximum"] as const) {
      const value = property[field];
      if (value !== undefined && !isNumber(value))
        causes.push(invalid(`${path}.${field}`, value, "must be a number"));
    }
    const { minimum, maximum } = property;
    if (isNumber(minimum) && isNumber(maximum) && Number(minimum) > Number(maximum))
      causes.push(invalid(`${path}.minimum`, minimum, `must not be greater than maximum ${maximum}`));
    return causes;
  });
}

function judgeDesired(path: string, value: string, property: ModelProperty): DeviceCause[] {
  if (property.accessMode === "ReadOnly")
    return [
      {
        reason: "FieldValueForbidden",
        field: path,
        message: `Forbidden: property ${JSON.stringify(property.name)} is read only`,
      },
    ];
  const wrong = wrongType(value, property);
  if (wrong !== undefined) return [invalid(`${path}.value`, value, wrong)];
  return judgeRange(`${path}.value`, value, property);
}

function wrongType(value: string, { type }: ModelProperty): string | undefined {
  switch (type) {
    case "INT":
      return /^[+-]?\d+$/.test(value) ? undefined : "must be a whole number (INT)";
    case "FLOAT":
    case "DOUBLE":
      return isNumber(value) ? undefined : `must be a number (${type})`;
    case "BOOLEAN":
      return value === "true" || value === "false" ? undefined : "must be true or false (BOOLEAN)";
    case "STRING":
    case "BYTES":
    case undefined:
      return undefined;
  }
}

function judgeRange(field: string, value: string, { minimum, maximum, type }: ModelProperty): DeviceCause[] {
  if (type !== "INT" && type !== "FLOAT" && type !== "DOUBLE") return [];
  if (isNumber(minimum) && Number(value) < Number(minimum))
    return [invalid(field, value, `must be at least ${minimum}`)];
  if (isNumber(maximum) && Number(value) > Number(maximum))
    return [invalid(field, value, `must be at most ${maximum}`)];
  return [];
}

function notInModel(field: string, name: string, model: string): DeviceCause {
  return invalid(field, name, `device model ${JSON.stringify(model)} has no such property`);
}

function invalid(field: string, value: string | undefined, problem: string): DeviceCause {
  return {
    reason: "FieldValueInvalid",
    field,
    message: `Invalid value: ${JSON.stringify(value)}: ${problem}`,
  };
}

function isNumber(text: string | undefined): text is string {
  return text !== undefined && decimal.test(text) && Number.isFinite(Number(text));
}

const decimal = /^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/;
const dnsName = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
