import { asRecord, recordOf } from "#shared/json";
import type { Device } from "#shared/kube";
import type { Desired } from "#shared/topics";

/** Of changes while nodes were away; of older ones the API knows less exactly when they were made. */
const mostRemembered = 10_000;
/** Times in managedFields are whole seconds. */
const secondMs = 1000;

/** When desired values were changed in the API, as far as this process has seen it. */
export class ChangeTimes {
  readonly #seen = new Map<string, { readonly value: Desired; readonly atMs: number }>();

  /** The Device of an API was changed. */
  changed(device: Device, old: Device, nowMs: number): void {
    const before = desiredOf(old);
    for (const [property, value] of desiredOf(device)) {
      if (value === (before.get(property) ?? null)) continue;
      const key = keyOf(device, property);
      this.#seen.delete(key);
      this.#seen.set(key, { value, atMs: nowMs });
    }
    while (this.#seen.size > mostRemembered) this.#forgetOldest();
  }

  /**
   * When the present desired value of a property came to be, milliseconds since 1970: not later than that. undefined: the
   * API does not say.
   */
  of(device: Device, property: string): number | undefined {
    const seen = this.#seen.get(keyOf(device, property));
    const isPresent = seen && seen.value === (desiredOf(device).get(property) ?? null);
    return isPresent ? seen.atMs : lastChangeMs(device);
  }

  #forgetOldest(): void {
    const [oldest] = this.#seen.keys();
    if (oldest !== undefined) this.#seen.delete(oldest);
  }
}

/** The desired value of each property; null: none. */
export function desiredOf({ spec }: Device): ReadonlyMap<string, Desired> {
  const entry = ({ name, desired }: { name: string; desired?: { value?: string } }) =>
    [name, desired?.value || null] as const;
  return new Map((spec?.properties ?? []).map(entry));
}

/** The end of the second in which somebody last changed a property of the Device, as managedFields have it. */
function lastChangeMs({ metadata }: Device): number | undefined {
  const entries: unknown = recordOf(metadata)["managedFields"];
  const times = (Array.isArray(entries) ? entries : []).flatMap((entry) => {
    const { time, subresource, fieldsV1 } = recordOf(entry);
    const isOfSpec = asRecord(recordOf(fieldsV1)["f:spec"])?.["f:properties"] !== undefined;
    return isOfSpec && !subresource && typeof time === "string" ? [Date.parse(time)] : [];
  });
  const known = times.filter(Number.isFinite);
  return known.length === 0 ? undefined : Math.max(...known) + secondMs;
}

function keyOf({ metadata: { uid } }: Device, property: string): string {
  return `${uid}/${property}`;
}
