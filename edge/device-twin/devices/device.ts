import { commandsOf, type DeviceCommand, type DeviceMapping } from "#shared/devices";
import type { OwnProperties, Twin } from "#edge/device-twin/twins";

export interface DeviceAttribute {
  readonly value: string;
  readonly optional: boolean;
  readonly type: string;
}

/** A device bound to this node. `GroupCommit` alone changes what is stored of it. */
export interface BoundDevice {
  readonly id: string;
  name: string;
  description: string;
  state: string;
  lastOnline: string;
  readonly attributes: Map<string, DeviceAttribute>;
  readonly twins: Map<string, Twin>;
  /** Namespace, name and uid of its Device, once somebody said them. */
  object: { readonly namespace: string; readonly name: string; readonly uid: string | undefined } | undefined;
  /** How its clients spell it in topics: `<id>`, `<namespace>/<name>` or both; as `<id>` until somebody asked. */
  readonly spellings: Set<string>;
  mapping: DeviceMapping | undefined;
  /** What its Device object and model list; undefined while there is no object. */
  own: OwnProperties | undefined;
  /** What they listed when all was known last: a twin goes with its property, one that a client made stays. */
  declared: OwnProperties | undefined;
  /** When a plain device was told again what is wanted of a property, milliseconds since 1970. */
  reminded: Map<string, number> | undefined;
}

export function newDevice(id: string, name: string, description: string): BoundDevice {
  return {
    id,
    name,
    description,
    state: "",
    lastOnline: "",
    attributes: new Map(),
    twins: new Map(),
    object: undefined,
    spellings: new Set(),
    mapping: undefined,
    own: undefined,
    declared: undefined,
    reminded: undefined,
  };
}

/** The device parts of the topics it is told on without being asked. */
export function topicNames({ id, spellings }: BoundDevice): readonly string[] {
  return spellings.size === 0 ? [id] : [...spellings];
}

/** What a plain device is to be told now. */
export function commandsFor({ mapping, twins }: BoundDevice): DeviceCommand[] {
  return commandsOf(mapping, (name) => twins.get(name)?.expected?.value);
}
