import type { Database } from "bun:sqlite";
import { isDamage } from "#shared/sqlite";
import { DeviceHistory, Devices, Twins } from "#edge/store/devices";
import {
  explainEdgeDatabase,
  isUnreadable,
  openEdgeDatabase,
  openSoundEdgeDatabase,
  type SoundOptions,
} from "#edge/store/file";
import { ValueJournal } from "#edge/store/journal";
import { MqttOutgoing, MqttSessions } from "#edge/store/mqtt";
import { Backlog, LossCounter, Outbox } from "#edge/store/outbox";
import { KnownCloud } from "./known-cloud.ts";
import { Metas } from "./metas.ts";

export type {
  AttributeRow,
  DeviceHistory,
  DeviceRow,
  Devices,
  HistoryLimits,
  HistoryPoint,
  HistoryQuery,
  TwinRow,
  Twins,
} from "#edge/store/devices";
export { findEdgeDatabaseFault, findHeldCloud } from "#edge/store/file";
export type { ValueJournal, ValueRecord } from "#edge/store/journal";
export type {
  MqttOutgoing,
  MqttSessions,
  OutgoingRow,
  PacketRow,
  ClockRow,
  RetainedRow,
  SessionRow,
  SubscriptionRow,
} from "#edge/store/mqtt";
export type {
  Backlog,
  FoldableReport,
  Loss,
  LossCounter,
  Losses,
  Outbox,
  OutboxEntry,
  OutboxShare,
} from "#edge/store/outbox";
export type { CloudRecord, KnownCloud } from "./known-cloud.ts";
export type { Meta, MetaName, Metas } from "./metas.ts";

/** The edge's one database. All calls are synchronous; a call that returned is on disk, but for `values` and what says otherwise. */
export interface Store extends Disposable {
  /** Of this database alone, for as long as it lives: 32 hexadecimal digits. */
  readonly name: string;
  readonly cloud: KnownCloud;
  readonly metas: Metas;
  readonly outbox: Outbox;
  readonly backlog: Backlog;
  readonly losses: LossCounter;
  readonly devices: Devices;
  readonly twins: Twins;
  readonly telemetry: DeviceHistory;
  /** Values that are in none of the tables yet. */
  readonly values: ValueJournal;
  readonly mqttSessions: MqttSessions;
  readonly mqttOutgoing: MqttOutgoing;
  /** Runs `work` in one transaction (nested calls join it): all of it is on disk, or none. */
  transaction<T>(work: () => T): T;
  /** Rejects when the file turns out to be damaged while it is used: only the next start can do something about it. */
  readonly damaged: Promise<never>;
}

/**
 * `sound`: the file is read through first, and one that is damaged is replaced by what can still be read of it.
 * @throws ConfigError when the file cannot be used or was written by a newer edgecore
 */
export function openStore(path: string, sound?: SoundOptions): Store {
  try {
    return storeOn(sound ? openSoundEdgeDatabase(path, sound) : openEdgeDatabase(path), path);
  } catch (error) {
    throw explainEdgeDatabase(path, error);
  }
}

function storeOn(db: Database, path: string): Store {
  const outbox = new Outbox(db);
  const losses = new LossCounter(db);
  const telemetry = new DeviceHistory(db);
  const values = new ValueJournal(db, path);
  const damaged = Promise.withResolvers<never>();
  damaged.promise.catch(() => undefined);
  return {
    damaged: damaged.promise,
    name: db.query<{ name: string }, []>("SELECT name FROM identity").get()?.name ?? "",
    cloud: new KnownCloud(db),
    metas: new Metas(db),
    outbox,
    backlog: new Backlog(db, outbox, losses),
    losses,
    devices: new Devices(db),
    twins: new Twins(db),
    telemetry,
    values,
    mqttSessions: new MqttSessions(db),
    mqttOutgoing: new MqttOutgoing(db),
    transaction: (work) => {
      try {
        const result = db.transaction(work).immediate();
        if (!db.inTransaction) telemetry.settle();
        return result;
      } catch (error) {
        if (isDamage(error) || isUnreadable(error)) damaged.reject(error);
        else telemetry.recount();
        throw error;
      }
    },
    [Symbol.dispose]: () => {
      values[Symbol.dispose]();
      db.close(false);
    },
  };
}
