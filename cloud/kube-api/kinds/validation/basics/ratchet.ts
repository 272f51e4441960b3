import type { FieldError } from "#cloud/kube-api/schema";
import { isObject, sameMeaning, type Json, type JsonObject } from "#shared/json";

/**
 * Errors that an update brings. One that `current` has too, with the same value, stays: the object was stored before there was
 * the rule, and has to go on losing finalizers and getting labels. `current` is judged only when `next` has errors.
 */
export function broughtErrors(
  next: JsonObject,
  current: JsonObject,
  judge: (object: JsonObject) => FieldError[],
): FieldError[] {
  const errors = judge(next);
  if (errors.length === 0) return errors;
  const had = new Set(judge(current).map(textOfError));
  return errors.filter(
    (error) =>
      !had.has(textOfError(error)) || !sameMeaning(valueAt(next, error.field), valueAt(current, error.field)),
  );
}

function textOfError({ reason, field, message }: FieldError): string {
  return JSON.stringify([reason, field, message]);
}

/** What is at the path of an error; of the whole object, what is not metadata. Undefined for the key of a map with dots. */
function valueAt(object: JsonObject, path: string): Json | undefined {
  if (path === "") return { ...object, metadata: {} };
  let value: Json | undefined = object;
  for (const step of path.split(/[.[\]]+/).filter((one) => one !== "")) {
    if (Array.isArray(value)) value = value[Number(step)];
    else value = isObject(value) && Object.hasOwn(value, step) ? value[step] : undefined;
  }
  return value;
}
