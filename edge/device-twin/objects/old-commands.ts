import type { Store } from "#edge/store";
import { commandsFor, type DeviceRegistry } from "#edge/device-twin/devices";
import type { GroupCommit } from "#edge/device-twin/outbox";

/** Row that says that this node has done it. */
const done = { key: "null/upgrade/commands-not-retained", type: "upgrade", value: "{}" };

/**
 * Clears the commands that version 0.2.0 and older left retained at the broker, where the Device does not ask for
 * that: they would switch a device whenever it connects. Once in the life of a database, when the broker is there.
 */
export class OldCommands {
  readonly #parts: {
    readonly store: Pick<Store, "metas">;
    readonly registry: DeviceRegistry;
    readonly commit: GroupCommit;
  };
  #isDone = false;

  constructor(parts: {
    readonly store: Pick<Store, "metas">;
    readonly registry: DeviceRegistry;
    readonly commit: GroupCommit;
  }) {
    this.#parts = parts;
  }

  clear(): void {
    const { store, registry, commit } = this.#parts;
    if (this.#isDone) return;
    this.#isDone = true;
    if (store.metas.find(done.key)) return;
    const commands = [...registry.all()].flatMap(commandsFor);
    const kept = new Set(commands.filter(({ retain }) => retain).map(({ topic }) => topic));
    const topics = new Set(commands.map(({ topic }) => topic).filter((topic) => !kept.has(topic)));
    commit.write(({ metas }) => metas.put(done));
    const publish = [...topics].map((topic) => ({ topic, payload: "", retain: true }));
    // What could not be stored is tried again at the next start.
    void commit.reply({ publish }).catch(() => undefined);
  }
}
