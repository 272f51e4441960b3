import { readDiskWrites } from "#shared/prometheus";
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join, resolve } from "node:path";
import { describeError } from "#shared/errors";
import { asideOf, findExposed, readFileSystem, type PrivatePlaces } from "#shared/files";
import { isSignedBy, readCertificate } from "#shared/pki";
import { explainFolder } from "./data-dir.ts";
import { fail, ok, warn, type Finding } from "./findings.ts";

export interface PortToCheck {
  /** its name in `ports.json` */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** the field that sets it */
  readonly setting: string;
  /** the field that sets the address, when it is another */
  readonly addressSetting?: string;
}

/** Whether we could listen there, or do so already. */
export async function checkPort(
  wanted: PortToCheck,
  running: { readonly pid: number | undefined; readonly ports: Readonly<Record<string, number>> },
): Promise<Finding> {
  const { name, address, port, setting } = wanted;
  const subject = `port ${name}`;
  if (running.pid !== undefined && running.ports[name] !== undefined)
    return ok(subject, `${address}:${running.ports[name]} held by our process ${running.pid}`);
  const code = await tryListen(address, port);
  if (code === undefined) return ok(subject, port === 0 ? "any free one" : `${address}:${port} is free`);
  if (code === "EADDRINUSE") {
    const remedy = `find the process with \`ss -ltnp 'sport = :${port}'\` and stop it, or change ${setting}`;
    return fail(subject, `${address}:${port} is taken by another process`, remedy);
  }
  const why = `cannot listen on ${address}:${port}: ${listenFaults[code] ?? code}`;
  return fail(subject, why, `change ${code === "EACCES" ? setting : (wanted.addressSetting ?? setting)}`);
}

const nowhere = "it is no address of this machine";
const listenFaults: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: nowhere,
  ENOTFOUND: nowhere,
  EACCES: "ports below 1024 need root",
};

async function tryListen(address: string, port: number): Promise<string | undefined> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  // A name without an address makes an error without a code.
  server.once("error", ({ code = "ENOTFOUND" }: Error & { code?: string }) => resolve(code));
  server.listen({ host: address, port }, () => resolve(undefined));
  const code = await promise;
  if (code === undefined) await new Promise((closed) => server.close(closed));
  return code;
}

/** Whether something accepts connections there. @returns undefined when it does, else why not */
export async function checkTcp(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host, port, timeout: timeoutMs });
  socket.once("connect", () => resolve(undefined));
  socket.once("timeout", () => resolve(`no answer within ${timeoutMs} ms`));
  socket.once("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
  const outcome = await promise;
  socket.destroy();
  return outcome;
}

const dayMs = 86_400_000;

export interface CertificateToCheck {
  readonly subject: string;
  readonly file: string;
  readonly caFile?: string | undefined;
  /** names and addresses it has to be valid for */
  readonly hosts?: readonly string[];
  readonly nowMs: number;
  /** how to get a new one */
  readonly remedy: string;
}

/** Dates, signer and names of a certificate file that has to be there. */
export function checkCertificate(wanted: CertificateToCheck): Finding {
  const { subject, file, nowMs, remedy } = wanted;
  try {
    const pem = readFileSync(file, "utf8");
    const { notBeforeMs, notAfterMs, hosts, commonName } = readCertificate(pem);
    const until = new Date(notAfterMs).toISOString().slice(0, 10);
    if (nowMs < notBeforeMs)
      return fail(
        subject,
        `${file} is valid from ${new Date(notBeforeMs).toISOString()}, the clock is at ${new Date(nowMs).toISOString()}`,
        "set the clock",
      );
    if (nowMs > notAfterMs) return fail(subject, `${file} expired on ${until}`, remedy);
    if (wanted.caFile !== undefined && !isSignedBy(pem, readFileSync(wanted.caFile, "utf8")))
      return fail(subject, `${file} was not signed by ${wanted.caFile}`, remedy);
    const missing = (wanted.hosts ?? []).filter((host) => !hosts.includes(host));
    if (missing.length > 0)
      return warn(subject, `${file} is for ${hosts.join(", ")} and not for ${missing.join(", ")}`, remedy);
    const days = Math.floor((notAfterMs - nowMs) / dayMs);
    const names = hosts.length > 0 ? ` for ${hosts.join(", ")}` : "";
    return days < 14
      ? warn(subject, `${file} expires in ${days} days`, remedy)
      : ok(subject, `${commonName}${names}, until ${until}`);
  } catch (error) {
    return fail(subject, `cannot use ${file}: ${describeError(error)}`, remedy);
  }
}

/** What a running program wrote to its disks so far. @param pid undefined: it does not run, and nothing is known */
export function* checkWrites(pid: number | undefined): Generator<Finding> {
  const writes = pid === undefined ? undefined : readDiskWrites(pid);
  if (!writes) return;
  const { bytes, seconds } = writes;
  const mb = (count: number): string => (count / 1e6).toFixed(count < 1e7 ? 1 : 0);
  const hours = (seconds / 3600).toFixed(1);
  yield ok(
    "disk writes",
    `${mb(bytes)} MB in ${hours} h since its start, ${mb((bytes / seconds) * 86_400)} MB a day`,
  );
}

/** Free space where the data is kept. */
export function checkDisk(dataDir: string): Finding {
  const place = nearestExisting(dataDir);
  const freeMb = Math.floor(readFileSystem(place).availableBytes / 1_000_000);
  const evidence = `${freeMb} MB free at ${place}`;
  const remedy = "free some space or set data-dir elsewhere";
  if (freeMb < 100) return fail("disk", evidence, remedy);
  return freeMb < 1000 ? warn("disk", evidence, remedy) : ok("disk", evidence);
}

/** Whether the start could use the data directory; it is written to where it exists, and nothing stays. */
export function checkDataDir(dataDir: string, holder: number | undefined): Finding {
  const subject = "data directory";
  const place = nearestExisting(dataDir);
  const there = place === resolve(dataDir);
  try {
    if (there) tryWriting(place);
    else readdirSync(place);
    accessSync(place, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { why, remedy } = explainFolder(error);
    return fail(subject, `${dataDir}: ${why}`, remedy);
  }
  if (!there) return ok(subject, `${dataDir} will be made`);
  const owner = holder === undefined ? "" : `, in use by process ${holder}`;
  return ok(subject, `${dataDir}${owner}`);
}

/** What was set aside because it was damaged, and nobody has looked at yet. */
export function checkAside(path: string): Finding[] {
  return asideOf(path).map((aside) =>
    warn(
      "database",
      `${aside} was damaged and moved aside`,
      "check the disk, and remove the file when it is no longer needed",
    ),
  );
}

/** Files that others can read, of those that nobody else may. */
export function checkPrivate(places: PrivatePlaces): Finding[] {
  return findExposed(places).map(({ path, why, wanted }) => {
    const evidence = `${path} is exposed: ${why}`;
    if (wanted === undefined)
      return warn(
        "private files",
        evidence,
        "make it owned by and accessible to the user of this program only",
      );
    return fail(
      "private files",
      evidence,
      `chmod ${wanted.toString(8).padStart(4, "0")} it, or restart: the start does it`,
    );
  });
}

function tryWriting(folder: string): void {
  const probe = mkdtempSync(join(folder, ".check-"));
  try {
    writeFileSync(join(probe, "probe"), "x".repeat(4096));
  } finally {
    rmSync(probe, { recursive: true, force: true });
  }
}

function nearestExisting(path: string): string {
  let folder = resolve(path);
  while (!existsSync(folder)) folder = dirname(folder);
  return folder;
}
