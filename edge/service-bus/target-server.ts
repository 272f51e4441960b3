import { Hono } from "hono";
import type { Store } from "#edge/store";
import type { Clock } from "#shared/clock";
import { describeError, UnavailableError } from "#shared/errors";
import { asRecord } from "#shared/json";
import { serveLocally, type LocalServer } from "#shared/local-http";
import type { Logger } from "#shared/log";
import { mayChoose, type RuleMeaning } from "#shared/rules";
import type { ServiceBusPort } from "./port.ts";

/** Rows of targets that the cloud of KubeEdge started. */
const startedType = "targeturl";
/** One a rule, of which a node has a few; KubeEdge's cloud names them without end. */
const mostStarted = 1000;
const longestUrl = 8192;
/** Programs that wait for the cloud at a time. */
const mostWaiting = 256;
/** The port may be in use by a program that ends. */
const retryMs = 10_000;
/** The server ends a connection after 255 s without a byte; the answer has to come before. */
const longestTimeoutMs = 240_000;
const idleSeconds = 255;

export interface TargetServerConfig {
  readonly node: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly folder: string;
}

export interface TargetServerParts {
  readonly port: Pick<ServiceBusPort, "ask">;
  readonly store: Pick<Store, "metas">;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reportPort: (port: number) => void;
}

/** As KubeEdge's servicebus answers programs (edge/pkg/servicebus/server.go), with HTTP status 200 in any case. */
interface TargetReply {
  readonly code: number;
  readonly msg: string;
  readonly body: string;
}

/**
 * Where programs on this node call targets in the cloud, which a rule has to name. It listens while there is one, as
 * KubeEdge's servicebus does.
 */
export class TargetServer implements AsyncDisposable {
  readonly #config: TargetServerConfig;
  readonly #parts: TargetServerParts;
  readonly #started: Set<string>;
  #ofRules: ReadonlySet<string> = new Set();
  #server: LocalServer | undefined;
  #closing: Promise<void> = Promise.resolve();
  #retry: Disposable | undefined;
  #waiting = 0;
  #isStopped = false;

  constructor(config: TargetServerConfig, parts: TargetServerParts) {
    this.#config = config;
    this.#parts = parts;
    const rows = parts.store.metas.listByType(startedType);
    this.#started = new Set(rows.map(({ key }) => key.slice(startedType.length + 1)));
    this.#listenIfNeeded();
  }

  /** Where it listens, or will. */
  get port(): number {
    return this.#server?.port ?? this.#config.port;
  }

  setRules(rules: readonly RuleMeaning[]): void {
    const { node } = this.#config;
    this.#ofRules = new Set(
      rules.flatMap(({ source }) =>
        source.kind === "servicebus" && mayChoose(source.nodes, node) ? [source.targetUrl] : [],
      ),
    );
    this.#listenIfNeeded();
  }

  /** A cloud of KubeEdge, which sends no rules, names a target, or no longer. Stored. */
  setStarted(targetUrl: string, isStarted: boolean): void {
    const { store, log } = this.#parts;
    const key = `${startedType}/${targetUrl}`;
    if (!isStarted) {
      // KubeEdge's cloud cleans the URL as if it were a path when it stops it: `http:/host`.
      for (const url of [targetUrl, targetUrl.replace(/^(https?:\/)(?!\/)/, "$1/")]) {
        store.metas.remove(`${startedType}/${url}`);
        this.#started.delete(url);
      }
    } else if (targetUrl.length > longestUrl || this.#started.size >= mostStarted)
      log.warn("cannot take another target of the cloud", { length: targetUrl.length, most: mostStarted });
    else {
      store.metas.put({ key, type: startedType, value: "{}" });
      this.#started.add(targetUrl);
    }
    this.#listenIfNeeded();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#retry?.[Symbol.dispose]();
    this.#close();
    await this.#closing;
  }

  #listenIfNeeded(): void {
    const isNeeded = this.#started.size + this.#ofRules.size > 0 && !this.#isStopped;
    if (!isNeeded) this.#close();
    else if (!this.#server) this.#listen();
  }

  #listen(): void {
    const { clock, log, reportPort } = this.#parts;
    const { port, folder } = this.#config;
    this.#retry?.[Symbol.dispose]();
    this.#retry = undefined;
    try {
      this.#server = serveLocally(this.#app(), {
        address: "127.0.0.1",
        port,
        what: "targets of rules",
        portSetting: "service-bus.port",
        folder,
        name: "service-bus",
        idleSeconds,
        clock,
        log,
      });
      reportPort(this.#server.port);
    } catch (error) {
      log.error("programs on this node cannot call targets of rules, trying again", {
        error: describeError(error),
      });
      this.#retry = clock.after(retryMs, () => this.#listenIfNeeded());
    }
  }

  #close(): void {
    this.#retry?.[Symbol.dispose]();
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    this.#closing = Promise.all([this.#closing, server[Symbol.asyncDispose]()]).then(() => undefined);
    this.#closing.catch((error: unknown) =>
      this.#parts.log.warn("cannot stop serving targets of rules", { error: describeError(error) }),
    );
  }

  #app(): Hono {
    const app = new Hono();
    app.all("*", async (context) => {
      const payload = new Uint8Array(await context.req.arrayBuffer());
      return context.json(await this.#answer(payload, context.req.raw.signal));
    });
    return app;
  }

  async #answer(payload: Uint8Array, signal: AbortSignal): Promise<TargetReply> {
    const targetUrl = targetOf(payload);
    if (targetUrl === undefined)
      return refusal(400, 'expected JSON: {"method": "POST", "targetURL": "http://…", "payload": …}');
    if (!this.#started.has(targetUrl) && !this.#ofRules.has(targetUrl))
      return refusal(400, `no Rule for this node has the target_url ${JSON.stringify(targetUrl)}`);
    if (this.#waiting >= mostWaiting)
      return refusal(503, `${mostWaiting} requests wait for the cloud already`);
    this.#waiting += 1;
    try {
      const timeoutMs = Math.min(this.#config.timeoutMs, longestTimeoutMs);
      const answer = await this.#parts.port.ask(
        "cloud.target",
        { targetUrl, payload, timeoutMs },
        { signal },
      );
      if (!answer.ok) return refusal(500, answer.reason);
      return { code: 200, msg: "receive response from cloud successfully", body: answer.text };
    } catch (error) {
      const isLate = error instanceof UnavailableError && error.code === "timeout";
      return refusal(isLate ? 504 : 503, describeError(error));
    } finally {
      this.#waiting -= 1;
    }
  }
}

function targetOf(payload: Uint8Array): string | undefined {
  try {
    const fields = asRecord(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload)));
    const url = fields?.["targetURL"];
    return typeof url === "string" ? url : undefined;
  } catch {
    return undefined;
  }
}

function refusal(code: number, msg: string): TargetReply {
  return { code, msg, body: "" };
}
