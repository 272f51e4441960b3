import { Hono } from "hono";
import type { Clock } from "#shared/clock";
import { budgetOfProcess, type ConnectionBudget, headerOf, openFront, socketPath } from "#shared/connections";
import { asError, ConfigError } from "#shared/errors";
import { RateLimitedLog, type Logger } from "#shared/log";
import { guardLocally } from "./guard.ts";
import { LargeAnswers } from "./large-answers.ts";
import { TokenFile } from "./token-file.ts";

export interface LocalServerOptions {
  readonly address: string;
  /** 0 for any free one */
  readonly port: number;
  /** The file with the token that requests have to carry, and the setting that names it. */
  readonly tokenFile?: { readonly path: string; readonly setting: string };
  /** What is served, for errors. */
  readonly what: string;
  /** The setting that names the port. */
  readonly portSetting: string;
  /** Where it may keep a Unix socket; a temporary place unless given. */
  readonly folder?: string | undefined;
  /** Unique in that folder. */
  readonly name: string;
  /** Seconds without a byte after which a response is aborted; 30 unless given, at most 255. */
  readonly idleSeconds?: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Places for connections, shared with the other servers of the process; of its own unless given. */
  readonly connections?: ConnectionBudget;
}

export interface LocalServer extends AsyncDisposable {
  readonly port: number;
}

/** Programs on one machine, or with the one token. */
const mostConnections = 256;
/** A response that the client does not read for so long is aborted. */
const idleSeconds = 30;
/** The servers answer questions; what they are sent is a token and a query. */
const largestBody = 1024 * 1024;

/**
 * Serves an app to programs on this machine, or to clients with the token.
 * @throws ConfigError when the address is taken or the token's file cannot be used
 */
export function serveLocally(app: Hono, options: LocalServerOptions): LocalServer {
  const { address, port, tokenFile, what, portSetting, folder, name, clock, log } = options;
  const token = tokenFile && new TokenFile(tokenFile.path, tokenFile.setting);
  const seldom = new RateLimitedLog(log, clock);
  const large = new LargeAnswers();
  const guarded = new Hono();
  const refused = (reason: string): void => seldom.warn("refused a request", { server: what, reason }, what);
  guarded.use(guardLocally({ addresses: [address], token, refused }));
  guarded.route("/", app);
  guarded.notFound((c) => c.json({ error: `there is nothing at "${c.req.path}"` }, 404));
  using stack = new DisposableStack();
  const behind = stack.use(socketPath(folder, `${name}.sock`)).path;
  const served = {
    unix: behind,
    idleTimeout: options.idleSeconds ?? idleSeconds,
    maxRequestBodySize: largestBody,
    fetch: async (request: Request) => large.pace(await guarded.fetch(request)),
  };
  // The types know no idle time of Unix sockets.
  const server = Bun.serve(served as unknown as Bun.Serve.Options<undefined>);
  stack.defer(() => void server.stop(true));
  const budget = options.connections ?? budgetOfProcess(clock);
  const identify = (head: string): { who: string; most: number } | undefined =>
    !token || token.allows(headerOf(head, "authorization"))
      ? { who: name, most: mostConnections }
      : undefined;
  try {
    const front = openFront({ address, port, behind, budget, clock, identify });
    const owned = stack.move();
    return {
      port: front.port,
      [Symbol.asyncDispose]: async () => {
        await front[Symbol.asyncDispose]();
        owned.dispose();
      },
    };
  } catch (cause) {
    const text = `Cannot serve ${what} on ${address}:${port}: ${asError(cause).message}; ${portSetting} names another`;
    throw new ConfigError("listen", text, { cause });
  }
}
