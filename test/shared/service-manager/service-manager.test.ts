import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { needs } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Prints each datagram as a line of JSON; "@" begins a name of the abstract namespace. */
const receiver = `
import json, socket, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + name[1:] if name.startswith("@") else name)
print("bound", flush=True)
while True:
    print(json.dumps(s.recv(4096).decode()), flush=True)
`;
const sample = join(import.meta.dir, "../cli/sample-program.ts");

class Manager implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;
  readonly seen: string[] = [];

  constructor(address: string) {
    this.#child = Bun.spawn(["python3", "-c", receiver, address], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = lines(this.#child.stdout);
  }

  /** @returns the first datagram that contains the text */
  async until(text: string): Promise<string> {
    for (;;) {
      const { done, value } = await this.#lines.next();
      if (done) throw new Error(`not told: ${text}; got ${this.seen.join(" | ")}`);
      if (value === "bound") {
        if (text === "bound") return value;
        continue;
      }
      const told = JSON.parse(value) as string;
      this.seen.push(told);
      if (told.includes(text)) return told;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + new TextDecoder().decode(chunk)).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
  }
}

function start(folder: string, node: string, environment: Record<string, string>) {
  writeFileSync(join(folder, "edge.yaml"), `edged: { hostname-override: ${node} }\n`);
  const words = [process.execPath, sample, "--data-dir", join(folder, "data")];
  const child = Bun.spawn(words, {
    cwd: folder,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { ...process.env, ...environment },
  });
  return {
    child,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

const hasReceiver = needs({ python3: Bun.which("python3") !== null });

test.skipIf(!hasReceiver).each(["path", "abstract"])(
  "a program tells its manager over a socket with a %s name that it is ready, lives, and stops",
  async (kind) => {
    using dir = tempDir("notify");
    const address = kind === "path" ? join(dir.path, "notify") : `@${dir.path}/notify`;
    await using manager = new Manager(address);
    await manager.until("bound");
    await using program = start(dir.path, "calm", { NOTIFY_SOCKET: address, WATCHDOG_USEC: "300000" });
    expect(await manager.until("READY=1")).toBe("READY=1\nSTATUS=running");
    expect(await manager.until("WATCHDOG=1")).toBe("WATCHDOG=1");
    program.child.kill("SIGTERM");
    expect(await manager.until("STOPPING=1")).toBe("STOPPING=1\nSTATUS=stopping");
    expect(await program.child.exited).toBe(0);
  },
);

test.skipIf(!hasReceiver)(
  "a part that does not work is named, and the watchdog is not reset any more",
  async () => {
    using dir = tempDir("notify");
    const address = join(dir.path, "notify");
    await using manager = new Manager(address);
    await manager.until("bound");
    await using program = start(dir.path, "sick", { NOTIFY_SOCKET: address, WATCHDOG_USEC: "150000" });
    await manager.until("WATCHDOG=1");
    expect(await manager.until("STATUS=pump")).toBe("STATUS=pump: hangs");
    const told = manager.seen.length;
    const log = await readUntil(program.child.stderr, "does not work");
    expect(log).toContain('"pump: hangs"');
    await Bun.sleep(500);
    program.child.kill("SIGTERM");
    await manager.until("STOPPING=1");
    expect(manager.seen.slice(told)).toEqual(["STOPPING=1\nSTATUS=stopping"]);
  },
);

test.skipIf(!hasReceiver)(
  "a program of another pid than the watched one does not reset the watchdog",
  async () => {
    using dir = tempDir("notify");
    const address = join(dir.path, "notify");
    await using manager = new Manager(address);
    await manager.until("bound");
    const environment = { NOTIFY_SOCKET: address, WATCHDOG_USEC: "30000", WATCHDOG_PID: "1" };
    await using program = start(dir.path, "calm", environment);
    await manager.until("READY=1");
    await readUntil(program.child.stderr, '"running"');
    await Bun.sleep(200);
    program.child.kill("SIGTERM");
    await manager.until("STOPPING=1");
    expect(manager.seen.filter((text) => text.includes("WATCHDOG"))).toEqual([]);
  },
);

test("a program goes on when nobody listens on the manager's socket, and says so once", async () => {
  using dir = tempDir("notify");
  const environment = { NOTIFY_SOCKET: join(dir.path, "nobody"), WATCHDOG_USEC: "30000" };
  await using program = start(dir.path, "calm", environment);
  const log = await readUntil(program.child.stderr, '"running"');
  program.child.kill("SIGTERM");
  expect(log.match(/cannot reach systemd/g)).toHaveLength(1);
  expect(await program.child.exited).toBe(0);
});

test.skipIf(!hasReceiver)(
  "READY=1 is sent again to a manager that could not be reached at first",
  async () => {
    using dir = tempDir("notify");
    const address = join(dir.path, "late");
    await using program = start(dir.path, "calm", { NOTIFY_SOCKET: address });
    await readUntil(program.child.stderr, "cannot reach systemd");
    await using manager = new Manager(address);
    expect(await manager.until("READY=1")).toBe("READY=1\nSTATUS=running");
  },
);

/** @returns what was read by then */
async function readUntil(stream: ReadableStream<Uint8Array>, text: string): Promise<string> {
  let read = "";
  const reader = stream.getReader();
  while (!read.includes(text)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`ended without ${text}: ${read}`);
    read += new TextDecoder().decode(value);
  }
  return read;
}
