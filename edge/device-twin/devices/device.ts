import {
  commandProblems,
  commandsOf,
  type DeviceCommand,
  type DeviceMapping,
  type RejectedValue,
  type StateMemory,
} from "#shared/devices";
import type { ListedProperties, Twin } from "#edge/device-twin/twins";

/** An attribute that the cloud gave a device; KubeEdge's `dttype.MsgAttr`. */
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
  /** Last reported state, such as "online"; empty before the first. */
  state: string;
  /** When that was, in local time as KubeEdge writes it; empty before. */
  lastOnline: string;
  readonly attributes: Map<string, DeviceAttribute>;
  readonly twins: Map<string, Twin>;
  /** Its Device, once the node knows it. */
  object: { readonly namespace: string; readonly name: string; readonly uid: string | undefined } | undefined;
  /** How clients name it in topics: `<id>`, `<namespace>/<name>` or both; empty before the first request. */
  readonly spellings: Set<string>;
  /** How it is read and commanded, if it is a plain MQTT device. */
  mapping: DeviceMapping | undefined;
  /** What the topics of its state said last; undefined before the first message. */
  said: StateMemory | undefined;
  /** Properties that its Device and model list; undefined before the node has the Device. */
  listed: ListedProperties | undefined;
  /** The last complete list: twins of properties that disappear from it are deleted, twins made by clients are not. */
  lastListed: ListedProperties | undefined;
  /** When the command of a property was last published again, milliseconds since 1970. */
  reminded: Map<string, number> | undefined;
}

/** A device without twins. @param id unique on this node: the name, or `<namespace>/<name>` where names clash */
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
    said: undefined,
    listed: undefined,
    lastListed: undefined,
    reminded: undefined,
  };
}

/** The names of the device in the topics of messages that nobody requested. */
export function topicNames({ id, spellings }: BoundDevice): readonly string[] {
  return spellings.size === 0 ? [id] : [...spellings];
}

/** The commands for the expected values of a plain device. */
export function commandsFor({ mapping, twins }: BoundDevice): DeviceCommand[] {
  return commandsOf(mapping, (name) => twins.get(name)?.expected?.value);
}

/** Expected values of a plain device that cannot be sent, and why. */
export function unsendable({ mapping, twins }: BoundDevice): RejectedValue[] {
  return commandProblems(mapping, (name) => twins.get(name)?.expected?.value);
}
