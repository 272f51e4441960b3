import { join } from "node:path";
import type { Clock } from "#shared/clock";
import type { TelemetryConfig } from "#shared/config";
import type { ConnectionBudget } from "#shared/connections";
import { running, type Running } from "#shared/lifecycle";
import { RateLimitedLog, type Logger } from "#shared/log";
import { apiDoors, openHttpDoor } from "./doors.ts";
import { Intake } from "./intake.ts";
import type { TelemetryPort } from "./port.ts";
import { Questions } from "./questions.ts";
import { UploadStore } from "./upload-store.ts";
import type { ExtraResource } from "#cloud/kube-api/http";

/** `TelemetryConfig` of cloudcore's configuration, and where and beside what it runs. */
export interface TelemetryStartConfig extends TelemetryConfig {
  readonly dataDir: string;
  /** Whether devicecontroller runs: without it nobody knows where a device is. */
  readonly devices: boolean;
}

export type { TelemetryPort } from "./port.ts";

export interface TelemetryParts {
  readonly port: TelemetryPort;
  readonly clock: Clock;
  readonly log: Logger;
  /** Places for connections, shared with the other servers of the process. */
  readonly connections?: ConnectionBudget;
}

export interface Telemetry extends Running {
  /** where the HTTP server listens, when there is one */
  readonly port: number | undefined;
  /** The same questions for an embedded Kubernetes API. */
  readonly apiDoors: readonly ExtraResource[];
}

const trimEveryMs = 60_000;

/**
 * What devices send to the cloud, kept in a database of its own, and the way to past values, which stay on the nodes.
 * An upload is confirmed when it is on disk; what cannot be stored stays with its node, and so does what comes after it.
 * @throws ConfigError when the database or the port cannot be used
 */
export async function startTelemetry(
  config: TelemetryStartConfig,
  parts: TelemetryParts,
): Promise<Telemetry> {
  const { port, clock, log } = parts;
  const seldom = new RateLimitedLog(log, clock);
  await using stack = new AsyncDisposableStack();
  const store = stack.use(
    new UploadStore({
      path: join(config.dataDir, "telemetry.db"),
      bounds: config.uploads,
      clock,
      log,
      onDropped: (count) =>
        seldom.warn("Dropped the oldest uploads to keep the bounds", { count, droppedInAll: store.dropped }),
      onError: (error) => log.error("Cannot drop old uploads", { error }),
    }),
  );
  const intake = stack.use(
    new Intake({
      store,
      clock,
      log,
      startOver: (node) =>
        port.emit("node.close", { node, reason: "it shall send again what could not be stored" }),
    }),
  );
  const questions = new Questions({ store, port, log, devices: config.devices });
  stack.use(port.answer("device.upload", (upload) => intake.receive(upload)));
  stack.use(clock.every(trimEveryMs, () => void store.trim()));
  const { http: at, dataDir } = config;
  const door = { dataDir, clock, log, connections: parts.connections };
  const http = at && stack.use(openHttpDoor({ ...door, http: at }, questions));
  void store.trim();
  return {
    ...running("telemetry", stack.move()),
    port: http?.port,
    apiDoors: apiDoors(questions),
  };
}
