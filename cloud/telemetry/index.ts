import { join } from "node:path";
import type { ExtraResource } from "#cloud/kube-api/http";
import type { Clock } from "#shared/clock";
import type { TelemetryConfig } from "#shared/config";
import type { ConnectionBudget } from "#shared/connections";
import { running, type Running } from "#shared/lifecycle";
import { RateLimitedLog, type Logger } from "#shared/log";
import { apiEndpoints, serveTelemetry } from "./endpoints.ts";
import { Intake } from "./intake.ts";
import type { TelemetryPort } from "./port.ts";
import { Questions } from "./questions.ts";
import { UploadStore } from "./upload-store.ts";

/** `TelemetryConfig` of cloudcore's configuration, and where and beside what it runs. */
export interface TelemetryStartConfig extends TelemetryConfig {
  readonly dataDir: string;
  /** Whether there is a device controller: without it no node of a device is known. */
  readonly devices: boolean;
}

export type { TelemetryPort } from "./port.ts";

export interface TelemetryParts {
  readonly port: TelemetryPort;
  readonly clock: Clock;
  readonly log: Logger;
  /** Places for connections, shared with the other servers of the process. */
  readonly connections?: ConnectionBudget;
  /** Metrics of cloudcore for Prometheus, served beside the uploads. */
  readonly figures?: () => string;
}

export interface CloudTelemetry extends Running {
  /** where the HTTP server listens, when there is one */
  readonly port: number | undefined;
  /** The same questions as resources of the embedded Kubernetes API. */
  readonly apiEndpoints: readonly ExtraResource[];
}

/** Uploads are kept for hours and megabytes: a minute more does not matter, and trimming costs writes. */
const trimEveryMs = 60_000;

/**
 * Stores what devices upload in a database of its own, and answers questions for the history of devices, which the nodes
 * keep. An upload is acknowledged when it is on disk; what cannot be stored stays on its node, and so does what follows it.
 * @throws ConfigError when the database or the port cannot be used
 */
export async function startTelemetry(
  config: TelemetryStartConfig,
  parts: TelemetryParts,
): Promise<CloudTelemetry> {
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
        seldom.warn("dropped the oldest uploads to keep the bounds", { count, droppedInAll: store.dropped }),
      onError: (error) => log.error("cannot drop old uploads", { error }),
    }),
  );
  const intake = stack.use(
    new Intake({
      store,
      clock,
      log,
      startOver: (node) =>
        port.emit("node.close", { node, reason: "it has to send again what could not be stored" }),
    }),
  );
  const questions = new Questions({ store, port, log, devices: config.devices });
  stack.use(port.answer("device.upload", (upload) => intake.receive(upload)));
  stack.use(clock.every(trimEveryMs, () => void store.trim()));
  const { http: server, dataDir } = config;
  const deps = { dataDir, clock, log, connections: parts.connections, figures: parts.figures };
  const http = server && stack.use(serveTelemetry({ ...deps, http: server }, questions));
  void store.trim();
  return {
    ...running("telemetry", stack.move()),
    port: http?.port,
    apiEndpoints: apiEndpoints(questions),
  };
}
