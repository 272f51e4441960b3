/** What a Device says about the reports of a property. */
export interface ReportedProperty {
  readonly name: string;
  /** milliseconds */
  readonly reportCycle?: number;
  readonly reportToCloud?: boolean;
}

/** The properties that a Device object and its DeviceModel list. */
export interface ListedProperties {
  /** Of the Device itself. */
  readonly deviceProperties: readonly ReportedProperty[];
  /** Twin types of the model's properties; undefined for a property without a type. */
  readonly modelTypes: ReadonlyMap<string, string | undefined>;
  /** Whether these are all properties: not as long as the node does not have the model. */
  readonly isComplete: boolean;
}

/** A property that the Device or its model lists. */
export interface ListedProperty {
  /** Twin type in the model; undefined when the model has none. */
  readonly type: string | undefined;
  /** Least time between two reports of its values, milliseconds; undefined: each is reported. */
  readonly reportCycle: number | undefined;
  /** Whether its values stay on the node. */
  readonly isKept: boolean;
}

/** @returns undefined for a property that is not listed */
export function listedProperty(
  listed: ListedProperties | undefined,
  name: string,
): ListedProperty | undefined {
  const ofDevice = listed?.deviceProperties.find((property) => property.name === name);
  if (!listed || (!ofDevice && !listed.modelTypes.has(name))) return undefined;
  const { reportCycle, reportToCloud } = ofDevice ?? {};
  return { type: listed.modelTypes.get(name), reportCycle, isKept: reportToCloud === false };
}

/** Names that were listed `before` and are no longer. */
export function unlistedSince(before: ListedProperties | undefined, listed: ListedProperties): string[] {
  const names = before
    ? [...before.deviceProperties.map(({ name }) => name), ...before.modelTypes.keys()]
    : [];
  return names.filter((name) => !listedProperty(listed, name));
}
