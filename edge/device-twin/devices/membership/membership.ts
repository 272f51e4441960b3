import type { Clock } from "#shared/clock";
import { isRecord } from "#shared/json";
import type { JsonBody } from "#shared/topics";
import { newDevice, readMember, type BoundDevice, type DeviceRegistry } from "#edge/device-twin/devices";
import type { GroupCommit } from "#edge/device-twin/outbox";
import { isDeletedTwin, toCloud } from "#edge/device-twin/twins";
import { reportState, type CloudTwins } from "#edge/device-twin/values";
import type { AttributeUpdates } from "./attribute-updates.ts";
import type { Members } from "./members.ts";

export interface MembershipParts {
  readonly registry: DeviceRegistry;
  readonly commit: GroupCommit;
  readonly clock: Pick<Clock, "nowMs">;
  readonly members: Members;
  readonly attributes: AttributeUpdates;
  readonly cloudTwins: CloudTwins;
}

/** Of a namespace (63 characters), a slash and a name (253). */
const longestId = 317;

/** Takes over which devices the cloud binds to this node; as KubeEdge's `dtmanager/membership.go`. */
export class Membership {
  readonly #parts: MembershipParts;

  constructor(parts: MembershipParts) {
    this.#parts = parts;
  }

  /** Adds `added_devices` and removes `removed_devices`. Settles with the commit. */
  update(body: JsonBody): Promise<void> {
    const added = records(body["added_devices"]);
    const removed = [
      ...records(body["removed_devices"]).flatMap((entry) => this.#known(entry)),
      ...added.flatMap((entry) => this.#replacedBy(entry)),
    ];
    const waits = removed.length > 0 ? [this.#parts.members.remove(removed)] : [];
    for (const device of new Set(added.flatMap((entry) => this.#known(entry)))) this.#report(device);
    return Promise.all([...waits, this.#admitAll(added)]).then(() => undefined);
  }

  /** Takes over the full list `devices`: devices that are not in it are removed. Settles with the commit. */
  replace(body: JsonBody): Promise<void> {
    if (!Array.isArray(body["devices"])) return Promise.resolve();
    const entries = records(body["devices"]);
    const listed = new Set(entries.flatMap((entry) => this.#known(entry)));
    const unlisted = [...this.#parts.registry.all()].filter((device) => !listed.has(device));
    const waits = unlisted.length > 0 ? [this.#parts.members.remove(unlisted)] : [];
    return Promise.all([...waits, this.#admitAll(entries)]).then(() => undefined);
  }

  #admitAll(entries: readonly JsonBody[]): Promise<void> {
    const { commit, members } = this.#parts;
    const added = entries.flatMap((entry) => this.#admit(entry));
    return commit.reply({ publish: added.length > 0 ? [members.updated({ added })] : [] });
  }

  /** A device that is added again may have been on another node meanwhile: the cloud has the values of that node. */
  #report(device: BoundDevice): void {
    const { commit, clock } = this.#parts;
    const nowMs = clock.nowMs();
    const live = [...device.twins].filter(([, twin]) => !isDeletedTwin(twin));
    const twins = live.map(([name, twin]) => [name, toCloud(twin)] as const);
    if (twins.length > 0) commit.reportTwins(device, nowMs, twins);
    if (device.state !== "") reportState(commit, device, Date.parse(device.lastOnline) || nowMs);
  }

  #known(entry: JsonBody): BoundDevice[] {
    const device = this.#parts.registry.member(readMember(entry));
    return device ? [device] : [];
  }

  #replacedBy(entry: JsonBody): BoundDevice[] {
    const device = this.#parts.registry.namesake(readMember(entry));
    return device ? [device] : [];
  }

  /** The caller waits for the commit. @returns the device when it is new */
  #admit(entry: JsonBody): BoundDevice[] {
    const { commit, registry, attributes, cloudTwins } = this.#parts;
    const member = readMember(entry);
    const { id, name, namespace, uid } = member;
    if (id === "" || id.length > longestId) return [];
    const known = registry.member(member);
    const description = entry["description"];
    const device =
      known ?? newDevice(registry.freeId(member), name, typeof description === "string" ? description : "");
    if (!known) commit.addDevice(device);
    if (!known && namespace !== undefined) device.object = { namespace, name, uid };
    if (isRecord(entry["attributes"])) attributes.set(device, entry["attributes"], { replace: true });
    if (isRecord(entry["twin"])) void cloudTwins.sync(device.id, { twin: entry["twin"] });
    return known ? [] : [device];
  }
}

function records(value: unknown): JsonBody[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}
