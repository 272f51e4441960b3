import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { BrokerConfig } from "#shared/config";
import { openBroker, startBus } from "#internal/test/edge/mqtt/event-bus/harness.ts";

/**
 * The built-in broker in place of mosquitto: takes mosquitto's `-p PORT` or `-c FILE` and what of such a file the
 * broker of edgecore has too. Used to run mosquitto's own tests against it.
 */
interface Settings {
  readonly listeners: Listener[];
  readonly everywhere: Map<string, string>;
}

interface Listener {
  readonly port: number;
  readonly options: Map<string, string>;
}

const words = process.argv.slice(2);
const option = (name: string): string | undefined =>
  words.includes(name) ? words[words.indexOf(name) + 1] : undefined;
const file = option("-c");
const base = file === undefined ? process.cwd() : dirname(resolve(file));
const settings = file === undefined ? plain(Number(option("-p"))) : readSettings(readFileSync(file, "utf8"));
const scratch = mkdtempSync(join(tmpdir(), "mqtt-suite-"));
await using stack = new AsyncDisposableStack();
stack.defer(() => rmSync(scratch, { recursive: true, force: true }));
for (const [index, listener] of settings.listeners.entries()) {
  const kept = index === 0 ? settings.everywhere.get("persistence_file") : undefined;
  const directory = join(scratch, String(index));
  mkdirSync(directory, { recursive: true });
  const database = kept === undefined ? undefined : resolve(base, kept);
  stack.use(await startBus(directory, { database, broker: await toConfig(listener, settings.everywhere) }));
}
const stop = Promise.withResolvers<void>();
process.once("SIGTERM", stop.resolve);
process.once("SIGINT", stop.resolve);
process.on("SIGHUP", () => undefined);
await stop.promise;

function plain(port: number): Settings {
  return { listeners: [{ port, options: new Map() }], everywhere: new Map([["allow_anonymous", "true"]]) };
}

/** Parses mosquitto's file: options after a `listener` line belong to that listener. */
function readSettings(text: string): Settings {
  const everywhere = new Map<string, string>();
  const listeners: Listener[] = [];
  for (const line of text.split("\n")) {
    const [name = "", ...rest] = line.trim().split(/\s+/);
    const value = rest.join(" ");
    if (name === "port" || name === "listener")
      listeners.push({ port: Number.parseInt(value, 10), options: new Map() });
    else if (name !== "" && !name.startsWith("#")) {
      listeners.at(-1)?.options.set(name, value);
      if (!everywhere.has(name)) everywhere.set(name, value);
    }
  }
  return { listeners, everywhere };
}

async function toConfig(
  { port, options }: Listener,
  everywhere: ReadonlyMap<string, string>,
): Promise<BrokerConfig> {
  const setting = (name: string): string | undefined => options.get(name) ?? everywhere.get(name);
  const pathOf = (name: string): string | undefined => {
    const path = options.get(name);
    return path === undefined ? undefined : join(base, path);
  };
  const secure = options.has("certfile");
  return {
    ...openBroker,
    url: `${secure ? "ssl" : "tcp"}://127.0.0.1:${port}`,
    websocketUrl: undefined,
    websocketOrigins: [],
    certFile: withChain(pathOf("certfile")),
    keyFile: pathOf("keyfile"),
    caFile: options.get("require_certificate") === "true" ? pathOf("cafile") : undefined,
    anonymous: setting("allow_anonymous") === "true",
    users: await readUsers(setting("password_file")),
    acl: readRules(setting("acl_file")),
    maxPacketBytes: Number(setting("max_packet_size") ?? 268_435_456),
    slowClientsBytes: 64 * 1024 * 1024,
    sessionQueueSize: Number(setting("max_queued_messages") ?? 100),
    // As mosquitto's defaults, which its tests expect in each CONNACK.
    receiveMaximum: Number(setting("max_inflight_messages") ?? 20),
    topicAliasMaximum: 10,
    sessionExpiryMaximum: undefined,
    keepaliveMaximum: setting("max_keepalive") === undefined ? undefined : Number(setting("max_keepalive")),
  };
}

/** Adds the intermediate certificate, which mosquitto takes from the CA file. */
function withChain(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const chained = join(scratch, "chain.crt");
  const between = join(dirname(path), "test-signing-ca.crt");
  writeFileSync(chained, readFileSync(path, "utf8") + readFileSync(between, "utf8"));
  return chained;
}

/** mosquitto's hashes cannot be used: the passwords that the tests use are hashed again. */
async function readUsers(path: string | undefined): Promise<BrokerConfig["users"]> {
  if (path === undefined || !existsSync(join(base, path))) return [];
  const users: { name: string; passwordHash: string }[] = [];
  for (const line of readFileSync(join(base, path), "utf8").split("\n").filter(Boolean)) {
    const [name = "", hash = ""] = line.split(":");
    const password = ["password", "password9"].find((known) => fits(hash, known)) ?? crypto.randomUUID();
    users.push({ name, passwordHash: await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 }) });
  }
  return users;
}

function fits(hash: string, password: string): boolean {
  const [, kind, salt = "", digest] = hash.split("$");
  if (kind !== "6") return false;
  const made = createHash("sha512").update(password).update(Buffer.from(salt, "base64")).digest("base64");
  return made === digest;
}

function readRules(path: string | undefined): BrokerConfig["acl"] {
  if (path === undefined || !existsSync(join(base, path))) return [];
  const rules: {
    user: string | undefined;
    topic: string;
    access: "read" | "write" | "readwrite" | "deny";
  }[] = [];
  let user: string | undefined;
  for (const line of readFileSync(join(base, path), "utf8").split("\n")) {
    const [word, ...rest] = line.trim().split(/\s+/);
    if (word === "user") user = rest.join(" ");
    if (word !== "topic" && word !== "pattern") continue;
    const first = rest[0] ?? "";
    const given = ["read", "write", "readwrite", "deny"].find((access) => access === first);
    const access = (given ?? "readwrite") as (typeof rules)[number]["access"];
    rules.push({
      user: word === "pattern" ? undefined : user,
      topic: rest.slice(given ? 1 : 0).join(" "),
      access,
    });
  }
  // In mosquitto a deny rule wins wherever it stands.
  return rules.toSorted((a, b) => Number(b.access === "deny") - Number(a.access === "deny"));
}
