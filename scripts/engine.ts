import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

/** A Docker engine to work with; disposing ends it if it was started here. */
export interface Engine extends AsyncDisposable {
  readonly socket: string;
  readonly own: boolean;
}

const systemSocket = "/var/run/docker.sock";

/**
 * The machine's running engine, else a dockerd of our own under `folder`, away from the machine's.
 * `atSystemSocket`: that one is found where programs look for the machine's.
 * @throws Error that says how to get one
 */
export async function findEngine(
  folder: string,
  options: { readonly atSystemSocket?: boolean } = {},
): Promise<Engine> {
  if (await answers(systemSocket))
    return { socket: systemSocket, own: false, [Symbol.asyncDispose]: async () => {} };
  for (let waited = 0; existsSync(systemSocket) && waited < 10_000; waited += 500) {
    await Bun.sleep(500);
    if (await answers(systemSocket))
      return { socket: systemSocket, own: false, [Symbol.asyncDispose]: async () => {} };
  }
  return startOwn(folder, options.atSystemSocket === true ? systemSocket : join(folder, "docker.sock"));
}

async function startOwn(folder: string, socket: string): Promise<Engine> {
  const dockerd = Bun.which("dockerd", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
  if (dockerd === null) throw new Error("No container engine: apt-get install docker.io");
  if (process.getuid?.() !== 0)
    throw new Error("No container engine runs and starting one needs root: run this with sudo");
  mkdirSync(folder, { recursive: true });
  rmSync(join(folder, "docker.pid"), { force: true });
  const log = join(folder, "dockerd.log");
  const words = [
    dockerd,
    `--data-root=${join(folder, "data")}`,
    `--exec-root=${join(folder, "exec")}`,
    `--pidfile=${join(folder, "docker.pid")}`,
    `--host=unix://${socket}`,
  ];
  const child = Bun.spawn(words, {
    stdin: "ignore",
    stdout: Bun.file(log),
    stderr: Bun.file(log),
    detached: true,
  });
  const stop = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.exited;
  };
  for (let waited = 0; waited < 30_000 && child.exitCode === null; waited += 200) {
    await Bun.sleep(200);
    if (await answers(socket)) return { socket, own: true, [Symbol.asyncDispose]: stop };
  }
  await stop();
  const tail = readFileSync(log, "utf8").trimEnd().split("\n").slice(-5).join("\n");
  throw new Error(`dockerd does not start (${log}):\n${tail}`);
}

async function answers(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false;
  try {
    const response = await fetch("http://localhost/_ping", {
      unix: socket,
      signal: AbortSignal.timeout(2000),
    });
    return response.ok;
  } catch {
    return false;
  }
}

export const demoImage = "kubeedge-bun/busybox:demo";

/** Makes the sample image from this machine's static busybox: no registry is needed. */
export async function makeDemoImage(socket: string): Promise<void> {
  const call = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://localhost${path}`, { ...init, unix: socket });
  if ((await call(`/images/${demoImage}/json`)).ok) return;
  const busybox = await findStaticBusybox();
  const archive = new Bun.Archive({ "bin/busybox": await Bun.file(busybox).bytes(), "www/.keep": "" });
  const [repo, tag] = demoImage.split(":");
  const response = await call(`/images/create?fromSrc=-&repo=${repo}&tag=${tag}`, {
    method: "POST",
    body: await withModes(archive),
    headers: { "content-type": "application/x-tar" },
  });
  const text = await response.text();
  if (!response.ok || text.includes('"error"'))
    throw new Error(`Cannot make image ${demoImage}: ${text.trim()}`);
}

async function findStaticBusybox(): Promise<string> {
  for (const path of ["/bin/busybox", "/usr/bin/busybox"]) {
    if (!existsSync(path)) continue;
    const head = new TextDecoder("latin1").decode(await Bun.file(path).slice(0, 4096).bytes());
    if (!head.includes("ld-linux") && !head.includes("ld-musl")) return path;
  }
  throw new Error("No static busybox for the sample image: apt-get install busybox-static");
}

/** The archive writer makes plain files 0644; the one program in it has to be executable. */
async function withModes(archive: Bun.Archive): Promise<Uint8Array> {
  const bytes = await archive.bytes();
  for (let offset = 0; offset + 512 <= bytes.length;) {
    const header = bytes.subarray(offset, offset + 512);
    const name = new TextDecoder().decode(header.subarray(0, 100)).replace(/\0.*$/s, "");
    const size = Number.parseInt(new TextDecoder().decode(header.subarray(124, 136)), 8) || 0;
    if (name === "bin/busybox") setMode(header, "0000755");
    offset += 512 * (1 + Math.ceil(size / 512));
  }
  return bytes;
}

function setMode(header: Uint8Array, mode: string): void {
  header.set(new TextEncoder().encode(`${mode}\0`), 100);
  header.fill(32, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}
