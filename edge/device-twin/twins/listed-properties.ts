/** The properties that a Device object and its DeviceModel list. */
export interface ListedProperties {
  /** Of the Device itself. */
  readonly deviceProperties: readonly { readonly name: string }[];
  /** Twin types of the model's properties; undefined for a property without a type. */
  readonly modelTypes: ReadonlyMap<string, string | undefined>;
  /** Whether these are all properties: not as long as the node does not have the model. */
  readonly isComplete: boolean;
}

/** A property that the Device or its model lists. */
export interface ListedProperty {
  /** Twin type in the model; undefined when the model has none. */
  readonly type: string | undefined;
}

/** @returns undefined for a property that is not listed */
export function listedProperty(
  listed: ListedProperties | undefined,
  name: string,
): ListedProperty | undefined {
  const isListed =
    listed &&
    (listed.modelTypes.has(name) || listed.deviceProperties.some((property) => property.name === name));
  return isListed ? { type: listed.modelTypes.get(name) } : undefined;
}

/** Names that were listed `before` and are no longer. */
export function unlistedSince(before: ListedProperties | undefined, listed: ListedProperties): string[] {
  const names = before
    ? [...before.deviceProperties.map(({ name }) => name), ...before.modelTypes.keys()]
    : [];
  return names.filter((name) => !listedProperty(listed, name));
}
