import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { asRecord, asText, tryJson } from "#shared/json";
import type { ContainerIdentity, ContainerSpec } from "#edge/runtime";
import type { ProgramStart } from "#edge/runtime/process/script";

/** What is kept of a sandbox: it has no process. */
export interface SandboxRecord {
  readonly kind: "sandbox";
  readonly id: string;
  readonly identity: ContainerIdentity;
  readonly createdAtMs: number;
  /** It ends with the boot, as its programs do. */
  readonly bootId: string;
  /** Number of the user that the pod has for itself. */
  readonly own: number;
  readonly stoppedAtMs?: number;
}

export interface ContainerRecord {
  readonly kind: "container";
  readonly id: string;
  readonly identity: ContainerIdentity;
  readonly createdAtMs: number;
  readonly bootId: string;
  readonly image: string;
  readonly program: string;
  readonly start: ProgramStart;
  readonly limits: Pick<ContainerSpec, "cpuShares" | "nanoCpus" | "memoryBytes" | "pidsLimit">;
  readonly endMark: string;
  readonly logPath: string;
}

export type ProcessRecord = SandboxRecord | ContainerRecord;

/** Ids tell whose a container is: those of engines look otherwise. */
const idPrefix = "process-";

export function newId(): string {
  return `${idPrefix}${randomBytes(16).toString("hex")}`;
}

/** Whether a container or sandbox is one of processes. */
export function isProcessId(id: string): boolean {
  return id.startsWith(idPrefix);
}

const fileName = "record.json";
/** Of a directory that is being removed. */
const gonePrefix = ".gone-";

/** The directories of sandboxes and containers, one each. A directory is one from the moment at which it has its record. */
export class ProcessRecords {
  readonly #folder: string;

  /** @param folder only root may enter it */
  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
  }

  directory(id: string): string {
    return join(this.#folder, id);
  }

  /** Those that there are; what an edgecore that was killed left incomplete is removed. */
  load(): ProcessRecord[] {
    return readdirSync(this.#folder).flatMap((name) => {
      const record = name.startsWith(gonePrefix) ? undefined : readRecord(join(this.#folder, name));
      if (record?.id === name) return [record];
      rmSync(join(this.#folder, name), { recursive: true, force: true });
      return [];
    });
  }

  /** Makes the directory, lets it be filled, and writes the record last. */
  add(record: ProcessRecord, fill: (dir: string) => void = () => undefined): void {
    const dir = this.directory(record.id);
    mkdirSync(dir, { mode: 0o700 });
    try {
      fill(dir);
      this.write(record);
    } catch (error) {
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  write(record: ProcessRecord): void {
    const path = join(this.directory(record.id), fileName);
    writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600, flush: true });
    renameSync(`${path}.new`, path);
  }

  remove(id: string): void {
    const dir = this.directory(id);
    if (!existsSync(dir)) return;
    const gone = join(this.#folder, `${gonePrefix}${id}`);
    rmSync(gone, { recursive: true, force: true });
    renameSync(dir, gone);
    rmSync(gone, { recursive: true, force: true });
  }
}

function readRecord(dir: string): ProcessRecord | undefined {
  const found = asRecord(tryJson(readText(join(dir, fileName)) ?? ""));
  const kind = asText(found?.["kind"]);
  // Only root writes there, and whole files: the shape is that of this type.
  return kind === "sandbox" || kind === "container" ? (found as unknown as ProcessRecord) : undefined;
}

/** Undefined for a file that does not exist. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
