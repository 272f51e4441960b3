import type { Container } from "#shared/kube";
import type { ContainerDetails } from "#edge/runtime";

/** Whether a container was created from this part of the spec. */
export function isMadeFrom({ identity }: ContainerDetails, container: Container): boolean {
  // Containers of 0.1 have the hash of their fields in the order of their arrival.
  return identity.specHash === specHash(container) || identity.specHash === hashOf(fixedPart(container));
}

/**
 * Hash of the fields that cannot change in a running container: a change means a new one. Another cloudcore or API server
 * sends the same object with its fields in another order, and with empty ones or without.
 */
export function specHash(container: Container): string {
  return hashOf(fixedPart(container).map(canonical));
}

function fixedPart({ image, command, args, workingDir, env, envFrom }: Container): readonly unknown[] {
  return [image, command, args, workingDir, env, envFrom];
}

function hashOf(parts: readonly unknown[]): string {
  return Bun.hash(JSON.stringify(parts)).toString(16);
}

/** Fields in order and without empty ones; `undefined` when nothing is left. All items of lists count. */
function canonical(value: unknown): unknown {
  if (value === null || value === "") return undefined;
  if (typeof value !== "object") return value;
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => (typeof item === "object" ? canonical(item) : item));
    return items.length === 0 ? undefined : items;
  }
  const fields = Object.entries(value)
    .map(([name, field]) => [name, canonical(field)] as const)
    .filter(([, field]) => field !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return fields.length === 0 ? undefined : Object.fromEntries(fields);
}
