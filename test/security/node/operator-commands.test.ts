import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { CloudHub } from "#cloud/cloud-hub";
import { createNodeRequest, loadAuthority, splitToken, type Authority, type KeyPair } from "#shared/pki";
import { startService, type ServiceProcess } from "#internal/scripts/service.ts";
import type { Harness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { askCertificate, dial, eventually } from "./joining.ts";

const root = resolve(import.meta.dir, "../../..");
const cloudcore = [process.execPath, join(root, "cloud/main.ts")];
const edgecore = [process.execPath, join(root, "edge/main.ts")];

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(words: readonly string[], input?: string, env: Record<string, string> = {}): Promise<Ran> {
  const child = Bun.spawn([...words], {
    stdin: input === undefined ? "ignore" : new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out, err };
}

let folder: ReturnType<typeof tempDir>;
let service: ServiceProcess;
let authority: Authority;
let ports: Record<string, number> = {};
const config = (): string => join(folder.path, "controller.yaml");
const operate = (...words: string[]): Promise<Ran> => run([...cloudcore, ...words, "--config", config()]);

let lives = 0;

async function start(): Promise<void> {
  lives += 1;
  const log = join(folder.path, `cloud-${lives}.log`);
  service = startService("cloudcore", [...cloudcore, "--config", config()], log);
  await eventually(
    () => readFileSync(log, "utf8").includes('"msg":"running"') || readFileSync(log, "utf8"),
    20_000,
  );
  ports = JSON.parse(readFileSync(join(folder.path, "cloud/ports.json"), "utf8")) as Record<string, number>;
}

function door(): Harness {
  const hub = { port: ports["cloudhub"] ?? 0, httpsPort: ports["cloudhub-https"] ?? 0 } as CloudHub;
  return { hub, authority } as Harness;
}

beforeAll(async () => {
  folder = tempDir("operator");
  writeFileSync(
    config(),
    `data-dir: ${folder.path}/cloud
cloudhub: { address: 127.0.0.1, port: 0, https-port: 0, advertise: [127.0.0.1] }
embedded: { port: 0 }
telemetry: { port: 0 }
router: { port: 0 }
cloudstream: { tunnel-port: 0 }
`,
  );
  await start();
  authority = await loadAuthority({
    cert: readFileSync(join(folder.path, "cloud/ca/rootCA.crt"), "utf8"),
    key: readFileSync(join(folder.path, "cloud/ca/rootCA.key"), "utf8"),
  });
}, 30_000);
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

async function token(...words: string[]): Promise<string> {
  const { code, out, err } = await operate("token", "create", ...words);
  if (code !== 0) throw new Error(err);
  return out.trim();
}

async function joinAs(node: string): Promise<KeyPair> {
  const jwt = splitToken(await token("--node", node))?.jwt ?? "";
  const answer = await askCertificate(door(), node, { jwt });
  if (answer.status !== 200) throw new Error(answer.text);
  return answer.pair;
}

describe("cloudcore token", () => {
  test("creates, lists and revokes tokens while cloudcore runs", async () => {
    const bare = await operate("token");
    expect(bare.out).toMatch(/^[0-9a-f]{64}\.[\w-]+\.[\w-]+\.[\w-]+\n$/);
    expect(bare.err).toMatch(/^join token \w{10}: for one node, until \S+Z\n$/);
    const wide = await token("--uses", "3", "--hours", "2", "--description", "hall 7");
    const id = JSON.parse(Buffer.from(wide.split(".")[2] ?? "", "base64url").toString()) as { jti: string };
    const listed = JSON.parse((await operate("token", "list", "--output", "json")).out) as { id: string }[];
    expect(listed.find((one) => one.id === id.jti)).toMatchObject({
      uses: 3,
      used: [],
      description: "hall 7",
      state: "valid",
    });
    expect((await operate("token", "list")).out).toContain("hall 7");
    expect((await operate("token", "revoke", id.jti)).code).toBe(0);
    expect(await operate("token", "revoke", id.jti)).toMatchObject({
      code: 1,
      err: `cloudcore: there is no join token "${id.jti}" (cloudcore token list)\n`,
    });
    const answer = await askCertificate(door(), "edge-7", { jwt: splitToken(wide)?.jwt ?? "" });
    expect(answer.text).toContain("revoked or unknown");
  }, 30_000);

  test.each([
    [["token", "craete"], 'token: expected create, list, revoke, got "craete"; did you mean create?'],
    [["token", "create", "--uses", "0"], '--uses: expected a whole number from 1 to 1000, got "0"'],
    [
      ["token", "create", "--node", "Bad_Name"],
      '--node: expected a node name of lower-case letters, digits, "-" and ".", got "Bad_Name"',
    ],
    [["token", "list", "--uses", "2"], "token list takes no --uses"],
    [["token", "revoke"], "token revoke: expected the ID of a token (cloudcore token list)"],
    [["node"], "node: expected list, ban, unban, allow-rejoin, got nothing"],
    [["node", "ban"], "node ban: expected the name of a node"],
    [["node", "ban", "a", "b"], 'node ban: expected nothing more, got "b"'],
  ])("names the error in %j", async (words, text) => {
    expect(await operate(...words)).toEqual({ code: 2, out: "", err: `cloudcore: ${text}\n` });
  });

  test("refuses to list nodes while cloudcore is not running", async () => {
    using empty = tempDir("not-running");
    const made = await run([...cloudcore, "node", "list", "--data-dir", empty.path, "--config", config()]);
    expect([made.code, made.err]).toEqual([
      1,
      `cloudcore: cloudcore is not running at "${empty.path}": start it, or name the --data-dir or --config it runs with\n`,
    ]);
  });
});

describe("cloudcore node", () => {
  test("bans a connected node, lists it and lifts the ban", async () => {
    const pair = await joinAs("edge-1");
    using live = dial(door(), "edge-1", pair);
    expect(await live.outcome).toBe("open");
    expect((await operate("node", "ban", "edge-1", "--reason", "lost in a taxi")).code).toBe(0);
    expect((await live.closed).reason).toContain("lost in a taxi");
    const nodes = JSON.parse((await operate("node", "list", "--output", "json")).out) as { name: string }[];
    const listed = nodes.filter(({ name }) => name === "edge-1");
    expect(listed).toMatchObject([{ name: "edge-1", state: "banned", banned: { reason: "lost in a taxi" } }]);
    expect((await operate("node", "list")).out).toMatch(/edge-1 +banned .* lost in a taxi/);
    expect((await operate("node", "unban", "edge-1")).out).toBe('node "edge-1" is no longer banned\n');
    expect((await operate("node", "unban", "edge-1")).out).toBe('node "edge-1" was not banned\n');
    using again = dial(door(), "edge-1", pair);
    expect(await again.outcome).toBe("open");
  }, 30_000);

  test("allows another machine to join once under a name that is in use", async () => {
    await joinAs("edge-2");
    const jwt = splitToken(await token("--uses", "5"))?.jwt ?? "";
    const before = await askCertificate(door(), "edge-2", { jwt });
    expect((await operate("node", "allow-rejoin", "edge-2", "--hours", "1")).code).toBe(0);
    const after = [
      await askCertificate(door(), "edge-2", { jwt }),
      await askCertificate(door(), "edge-2", { jwt }),
    ];
    expect([before, ...after].map(({ status }) => status)).toEqual([403, 200, 403]);
  }, 30_000);
});

describe("cloudcore killed with -9", () => {
  test("has a record of each certificate it issued, and used no token twice", async () => {
    const jwt = splitToken(await token("--uses", "6"))?.jwt ?? "";
    const asked = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => ({
        node: `killed-${index}`,
        key: (await createNodeRequest("x")).key,
      })),
    );
    const got = new Map<string, KeyPair>();
    const ask = async ({ node, key }: { node: string; key: string }): Promise<void> => {
      const answer = await askCertificate(door(), node, { jwt, key }).catch(() => undefined);
      if (answer?.status === 200) got.set(node, answer.pair);
    };
    const { promise: first, resolve: firstDone } = Promise.withResolvers<undefined>();
    const running = asked.map((one) => ask(one).finally(() => firstDone(undefined)));
    await first;
    process.kill(service.pid, "SIGKILL");
    await Promise.all(running);
    await service.failed.catch(() => undefined);
    const answered = [...got.keys()];
    await start();
    // Nodes ask again with the keys they have kept.
    for (const one of asked) await ask(one);
    expect(got.size).toBeLessThanOrEqual(6);
    expect(got.size).toBeGreaterThanOrEqual(Math.max(1, answered.length));
    for (const [node, pair] of got) {
      using dialed = dial(door(), node, pair);
      expect(await dialed.outcome).toBe("open");
    }
  }, 60_000);
});

describe("edgecore", () => {
  test.each([
    ["standard input", (text: string) => ({ words: ["--token", "-"], input: text })],
    [
      "a file",
      (text: string, file: string) => {
        writeFileSync(file, `${text}\n`);
        return { words: ["--token-file", file] };
      },
    ],
    ["the environment", (text: string) => ({ words: [], env: { KUBEEDGE_TOKEN: text } })],
  ] as const)(
    "joins with a token from %s, which no process list shows",
    async (_what, give) => {
      using dir = tempDir("edge-token");
      const node = `edge-${crypto.randomUUID().slice(0, 8)}`;
      const file = join(dir.path, "edge.yaml");
      writeFileSync(
        file,
        `data-dir: ${dir.path}/edge
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:${ports["cloudhub"]}", https: "https://127.0.0.1:${ports["cloudhub-https"]}" }
edged: { hostname-override: ${node}, docker-address: "unix://${dir.path}/none.sock", read-only-port: 0 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
      );
      const text = await token();
      const given: { words: readonly string[]; input?: string; env?: Record<string, string> } = give(
        text,
        join(dir.path, "token"),
      );
      const child = Bun.spawn([...edgecore, "--config", file, ...given.words], {
        stdin: given.input === undefined ? "ignore" : new TextEncoder().encode(`${given.input}\n`),
        stdout: "ignore",
        stderr: Bun.file(join(dir.path, "log")),
        env: { ...process.env, ...given.env },
      });
      try {
        await eventually(() => {
          const log = readFileSync(join(dir.path, "log"), "utf8");
          return log.includes("link to the cloud is up") || log;
        });
        const shown = readFileSync(`/proc/${child.pid}/cmdline`, "utf8");
        expect(shown).not.toContain(text);
        expect(readFileSync(join(dir.path, "log"), "utf8")).not.toContain(splitToken(text)?.jwt ?? "");
        const check = await run([...edgecore, "check", "--config", file]);
        expect(check.out).toMatch(new RegExp(`ok +admission +cloudcore accepts node "${node}"`));
        await operate("node", "ban", node, "--reason", "testing");
        const banned = await run([...edgecore, "check", "--config", file]);
        expect(banned.out).toMatch(new RegExp(`fail +admission +node "${node}" is banned: testing`));
      } finally {
        child.kill();
        await child.exited;
      }
    },
    40_000,
  );

  test("names a missing certificate file although a token is configured", async () => {
    using dir = tempDir("edge-files");
    const file = join(dir.path, "edge.yaml");
    writeFileSync(
      file,
      `data-dir: ${dir.path}/edge
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub:
  server: "127.0.0.1:${ports["cloudhub"]}"
  https: "https://127.0.0.1:${ports["cloudhub-https"]}"
  token: ${await token()}
  websocket: { certfile: ${dir.path}/none.crt, keyfile: ${dir.path}/none.key }
edged: { hostname-override: edge-files, docker-address: "unix://${dir.path}/none.sock", read-only-port: 0 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
    );
    const log = join(dir.path, "log");
    await using _edge = startService("edgecore", [...edgecore, "--config", file], log);
    await eventually(
      () => readFileSync(log, "utf8").includes("cannot join the cloud") || readFileSync(log, "utf8"),
    );
    const said = readFileSync(log, "utf8");
    expect(said).toContain(
      `edgehub.websocket.certfile: \\"${dir.path}/none.crt\\" does not exist; put the file there, or leave certfile and keyfile empty to join with a token`,
    );
    expect(said).not.toContain("neither a certificate nor a token");
  }, 20_000);
});
