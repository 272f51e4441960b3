import {
  duplicate,
  eachOf,
  notSupported,
  required,
  requiredOneOf,
} from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, itemsOf, textOf, textsOf, type JsonObject } from "#shared/json";
import { validateProvisioner } from "./networking.ts";

/** After pkg/apis/storage/validation. */
export function validateStorageClass(object: JsonObject): FieldError[] {
  return [
    ...validateProvisioner(textOf(object, "provisioner"), "provisioner"),
    ...oneOf(object, "reclaimPolicy", ["Delete", "Retain"]),
    ...oneOf(object, "volumeBindingMode", ["Immediate", "WaitForFirstConsumer"]),
  ];
}

function oneOf(object: JsonObject, field: string, values: readonly string[]): FieldError[] {
  const value = textOf(object, field);
  if (value === "") return [required(field)];
  return values.includes(value) ? [] : [notSupported(field, value, values)];
}

export function validateCsiDriver(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec") ?? {};
  const policies = ["File", "None", "ReadWriteOnceWithFSType"];
  const modes = ["Ephemeral", "Persistent"];
  return [
    ...requiredOneOf(spec, "fsGroupPolicy", { path: "spec", values: policies }),
    ...textsOf(spec, "volumeLifecycleModes")
      .filter((mode) => !modes.includes(mode))
      .map((mode) => notSupported("spec.volumeLifecycleModes", mode, modes)),
  ];
}

export function validateCsiNode(object: JsonObject): FieldError[] {
  const names = new Set<string>();
  return eachOf(itemsOf(childOf(object, "spec"), "drivers"), (driver, index) => {
    const path = `spec.drivers[${index}]`;
    const name = textOf(driver, "name");
    const errors = validateProvisioner(name, `${path}.name`);
    if (textOf(driver, "nodeID") === "") errors.push(required(`${path}.nodeID`));
    if (names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    return errors;
  });
}

export function validateStorageCapacity(object: JsonObject): FieldError[] {
  return textOf(object, "storageClassName") === "" ? [required("storageClassName")] : [];
}

export function validateVolumeAttachment(object: JsonObject): FieldError[] {
  const spec = childOf(object, "spec");
  const source = childOf(spec, "source");
  const errors = validateProvisioner(textOf(spec, "attacher"), "spec.attacher");
  if (textOf(spec, "nodeName") === "") errors.push(required("spec.nodeName"));
  if (textOf(source, "persistentVolumeName") === "" && !childOf(source, "inlineVolumeSpec"))
    errors.push(
      required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    );
  return errors;
}
