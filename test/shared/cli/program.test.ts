import { expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir } from "#internal/test/support/temp-dir.ts";

type Sample = Bun.Subprocess<"ignore", "pipe", "pipe"> & AsyncDisposable;

const sample = join(import.meta.dir, "sample-program.ts");

function start(cwd: string, words: readonly string[], node = "calm"): Sample {
  writeFileSync(join(cwd, "edge.yaml"), `edged: { hostname-override: ${node} }\n`);
  return Bun.spawn([process.execPath, sample, ...words], {
    cwd,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Reads what a program logs to stderr, as far as it is asked for. */
class LogReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #text = "";

  constructor(child: Sample) {
    this.#chunks = child.stderr[Symbol.asyncIterator]();
  }

  /** Reads on until `text` has been logged. @returns all that was logged */
  async until(text: string): Promise<string> {
    while (!this.#text.includes(text)) {
      const { done, value } = await this.#chunks.next();
      if (done) throw new Error(`ended without ${text}: ${this.#text}`);
      this.#text += new TextDecoder().decode(value);
    }
    return this.#text;
  }
}

async function ended(child: Sample): Promise<{ code: number; out: string; err: string }> {
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

async function outcome(cwd: string, words: readonly string[], node?: string): ReturnType<typeof ended> {
  return ended(start(cwd, words, node));
}

test("program prints version, help and sample configurations when asked to", async () => {
  using dir = tempDir();
  const version = await outcome(dir.path, ["--version"]);
  expect([version.code, version.out]).toEqual([
    0,
    `sample 0.0.0-source (commit unknown, bun ${Bun.version})\n`,
  ]);
  expect((await outcome(dir.path, ["--help"])).out).toBe("help of sample\n");
  expect((await outcome(dir.path, ["--minconfig"])).out).toContain("edgehub:\n");
  expect((await outcome(dir.path, ["--defaultconfig"])).out).toContain("mqtt:\n");
});

test("program runs a command with its own operands, flags and exit code", async () => {
  using dir = tempDir();
  const words = [
    "--data-dir",
    dir.path,
    "label",
    "add",
    "--colour=red",
    "x",
    "--loud",
    "--log-level",
    "warn",
  ];
  expect(await outcome(dir.path, words)).toEqual({
    code: 3,
    out: '["calm",["add","x"],{"colour":"red","loud":"true"}]\n',
    err: "",
  });
});

test.each([
  [["label", "--color", "red"], 'sample: unknown flag "--color", did you mean --colour?'],
  [["label", "--loud=yes"], "sample: --loud takes no value"],
  [["--colour", "red"], 'sample: unknown flag "--colour"'],
  [["check", "label"], 'sample: unknown command "label"'],
])("program refuses %j of a command with its own flags", async (words, text) => {
  using dir = tempDir();
  const { code, err } = await outcome(dir.path, words);
  expect(code).toBe(2);
  expect(err).toStartWith(text);
});

test.each([
  [
    ["--confg", "x"],
    'sample: unknown flag "--confg", did you mean --config? (sample --help explains more)\n',
  ],
  [["chek"], 'sample: unknown command "chek", did you mean check? (sample --help explains more)\n'],
  [["--config"], "sample: --config needs a value (sample --help explains more)\n"],
  [
    ["--log-level=loud"],
    'sample: --log-level: expected debug, info, warn, error, got "loud" (sample --help explains more)\n',
  ],
  [["--config", "/nonexistent.yaml"], 'sample: Cannot load "/nonexistent.yaml": no such file\n'],
])("program refuses %j with exit code 2", async (words, text) => {
  using dir = tempDir();
  expect(await outcome(dir.path, words)).toEqual({ code: 2, out: "", err: text });
});

test("program exits 1 and prints a line a finding when a check fails", async () => {
  using dir = tempDir();
  expect(await outcome(dir.path, ["check"])).toEqual({
    code: 1,
    out: "ok    config              edge.yaml\nok    one                 fine\nfail  two                 broken; fix it\n",
    err: "",
  });
});

test("program drains and exits 0 when it gets SIGTERM", async () => {
  using dir = tempDir();
  const data = join(dir.path, "data");
  await using child = start(dir.path, ["--data-dir", data]);
  await new LogReader(child).until('"running"');
  expect(JSON.parse(readFileSync(join(data, "ports.json"), "utf8"))).toEqual({ mqtt: 4711 });
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  expect([existsSync(join(data, "ports.json")), existsSync(join(data, "sample.lock"))]).toEqual([
    false,
    false,
  ]);
});

test("program ends at once when a second signal comes during a drain", async () => {
  using dir = tempDir();
  await using child = start(dir.path, ["--data-dir", join(dir.path, "data")], "hangs");
  const log = new LogReader(child);
  await log.until('"running"');
  child.kill("SIGINT");
  await log.until('"stopping"');
  child.kill("SIGINT");
  await log.until('"stopping at once"');
  expect(await child.exited).toBe(1);
});

test("program reads the log level and certificates again when it gets SIGHUP", async () => {
  using dir = tempDir();
  await using child = start(dir.path, ["--data-dir", join(dir.path, "data")]);
  const log = new LogReader(child);
  await log.until('"running"');
  child.kill("SIGHUP");
  expect(await log.until("reloaded log level")).toContain("module reloaded");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("program names the pid when another one has the data directory", async () => {
  using dir = tempDir();
  const words = ["--data-dir", join(dir.path, "data")];
  await using first = start(dir.path, words);
  await new LogReader(first).until('"running"');
  const second = await outcome(dir.path, words);
  expect(second.code).toBe(2);
  expect(second.err).toContain(`process ${first.pid} holds it`);
  first.kill("SIGTERM");
  await first.exited;
});

test("program takes the data directory over when its holder was killed", async () => {
  using dir = tempDir();
  const words = ["--data-dir", join(dir.path, "data")];
  await using first = start(dir.path, words);
  await new LogReader(first).until('"running"');
  first.kill("SIGKILL");
  await first.exited;
  expect(existsSync(join(dir.path, "data/sample.lock"))).toBe(true);
  await using second = start(dir.path, words);
  await new LogReader(second).until('"running"');
  second.kill("SIGTERM");
  expect(await second.exited).toBe(0);
});

test("program takes over a lock whose pid now is another process", async () => {
  using dir = tempDir();
  writeFileSync(join(dir.path, "sample.lock"), JSON.stringify({ pid: process.pid, started: "1" }));
  await using child = start(dir.path, ["--data-dir", dir.path]);
  await new LogReader(child).until('"running"');
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("program refuses a data directory that cannot be made", async () => {
  using dir = tempDir();
  writeFileSync(join(dir.path, "file"), "");
  chmodSync(join(dir.path, "file"), 0o600);
  const { code, err } = await outcome(dir.path, ["--data-dir", join(dir.path, "file/data")]);
  expect([code, err]).toEqual([
    2,
    `sample: Cannot use data directory "${dir.path}/file/data": it, or a part of its path, is a file; remove that, or set data-dir elsewhere\n`,
  ]);
});

test.each([
  ["refuses", 2, "Cannot listen on port 1: taken"],
  ["breaks", 1, "disk on fire"],
  ["fails", 1, "link lost"],
  ["rejects", 1, "nobody caught me"],
])("program whose module %s exits %d and logs why", async (node, code, text) => {
  using dir = tempDir();
  const result = await outcome(dir.path, ["--data-dir", join(dir.path, "data")], node);
  expect(result.code).toBe(code);
  expect(result.err).toContain(text);
  for (const line of result.err.trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("msg");
});

test("program hashes the password it reads when asked to", async () => {
  const main = join(import.meta.dir, "../../../edge/main.ts");
  const child = Bun.spawn([process.execPath, main, "hash-password"], {
    stdin: new Blob(["secret\nrest"]),
    stdout: "pipe",
  });
  const hash = (await new Response(child.stdout).text()).trim();
  expect(await Bun.password.verify("secret", hash)).toBe(true);
});

/** What a terminal shows of edgecore asking for a password, then of `stty`. */
async function atTerminal(act: (terminal: Bun.Terminal | undefined, shell: number) => void): Promise<string> {
  const main = join(import.meta.dir, "../../../edge/main.ts");
  let shown = "";
  const asked = Promise.withResolvers<void>();
  const child = Bun.spawn(["sh", "-c", `"$0" "$1" hash-password; stty -a`, process.execPath, main], {
    terminal: {
      cols: 200,
      rows: 50,
      data: (_terminal, bytes) => {
        shown += new TextDecoder().decode(bytes);
        if (shown.includes("not shown): ")) asked.resolve();
      },
    },
  });
  await asked.promise;
  act(child.terminal, child.pid);
  await child.exited;
  return shown;
}

test("program shows no password that is typed at a terminal, and gives the terminal back", async () => {
  const shown = await atTerminal((terminal) => void terminal?.write("sécrex\u{7f}t\r"));
  expect(shown).not.toContain("sécre");
  const [hash = ""] = /\$2b\S+/.exec(shown) ?? [];
  expect(await Bun.password.verify("sécret", hash)).toBe(true);
  expect(shown).toMatch(/\secho\s/);
});

test.each([
  ["Ctrl-C", (terminal: Bun.Terminal | undefined) => void terminal?.write("secret\u{3}")],
  [
    "SIGTERM",
    (_: unknown, shell: number) => {
      const children = readFileSync(`/proc/${shell}/task/${shell}/children`, "utf8");
      process.kill(Number(children.trim()), "SIGTERM");
    },
  ],
])("program restores the terminal when a password is cancelled by %s", async (_name, act) => {
  const shown = await atTerminal(act);
  expect(shown).toContain("expected a password on standard input");
  expect(shown).toMatch(/\secho\s/);
});
