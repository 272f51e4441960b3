import { forbidden, invalid, qualifiedName, required } from "#cloud/kube-api/kinds/validation/basics";
import type { FieldError } from "#cloud/kube-api/schema";
import { childOf, textOf, type JsonObject } from "#shared/json";
import { compareQuantities, formatQuantity, isWhole, parseQuantity } from "#shared/kube";

/** Names without a domain that a container may ask for, and those that are known at all. */
const containerResources = ["cpu", "memory", "ephemeral-storage"];
const standardResources = [...containerResources, "storage", "pods", "services", "secrets", "configmaps"];
const hugePages = "hugepages-";

/** What a container asks for, as `ValidateResourceRequirements`. */
export function validateResources(resources: JsonObject | undefined, path: string): FieldError[] {
  const limits = childOf(resources, "limits") ?? {};
  const requests = childOf(resources, "requests") ?? {};
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  const alone =
    names.some((name) => name.startsWith(hugePages)) && !names.includes("cpu") && !names.includes("memory");
  return [
    ...validateAmounts(limits, `${path}.limits`),
    ...validateAmounts(requests, `${path}.requests`),
    ...Object.keys(requests).flatMap((name) => validateRequest(name, { limits, requests, path })),
    ...(alone ? [forbidden(path, "HugePages require cpu or memory")] : []),
  ];
}

export function validateOverhead(spec: JsonObject, path: string): FieldError[] {
  return validateAmounts(childOf(spec, "overhead") ?? {}, path);
}

function validateRequest(
  name: string,
  {
    limits,
    requests,
    path,
  }: { readonly limits: JsonObject; readonly requests: JsonObject; readonly path: string },
): FieldError[] {
  const isOwn = !name.includes("/") || name.includes("kubernetes.io/");
  const shared = isOwn && !name.startsWith(hugePages);
  const limit = parseQuantity(textOf(limits, name));
  const request = parseQuantity(textOf(requests, name));
  if (limit === undefined)
    return shared ? [] : [required(`${path}.limits`, "Limit must be set for non overcommitable resources")];
  if (request === undefined) return [];
  const order = compareQuantities(request, limit);
  const value = formatQuantity(request);
  const named = `${name} limit of ${formatQuantity(limit)}`;
  if (order !== 0 && !shared) return [invalid(`${path}.requests`, value, `must be equal to ${named}`)];
  return order > 0 ? [invalid(`${path}.requests`, value, `must be less than or equal to ${named}`)] : [];
}

function validateAmounts(list: JsonObject, path: string): FieldError[] {
  return Object.keys(list)
    .toSorted()
    .flatMap((name) => validateAmount(name, textOf(list, name), `${path}[${name}]`));
}

function validateAmount(name: string, value: string, path: string): FieldError[] {
  const errors = validateResourceName(name, path);
  const quantity = parseQuantity(value);
  if (quantity === undefined) return errors;
  if (quantity.nano < 0n)
    errors.push(invalid(path, formatQuantity(quantity), "must be greater than or equal to 0"));
  else if (name.includes("/") && !isWhole(quantity))
    errors.push(invalid(path, formatQuantity(quantity), "must be an integer"));
  return errors;
}

function validateResourceName(name: string, path: string): FieldError[] {
  const errors = qualifiedName(name).map((problem) => invalid(path, name, problem));
  if (errors.length > 0 || name.includes("/") || name.startsWith(hugePages)) return errors;
  if (!standardResources.includes(name))
    errors.push(invalid(path, name, "must be a standard resource type or fully qualified"));
  if (!containerResources.includes(name))
    errors.push(invalid(path, name, "must be a standard resource for containers"));
  return errors;
}
