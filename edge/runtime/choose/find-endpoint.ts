import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "#shared/clock";
import { asText, recordOf, tryJson } from "#shared/json";
import { usualEndpoints, type RuntimeEndpoint } from "./endpoint.ts";
import { probe } from "./probe.ts";

export interface FoundEndpoint {
  readonly endpoint: RuntimeEndpoint;
  /** Whether this node used it before. */
  readonly isKnown: boolean;
}

export interface FindOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  /** Where engines are looked for; the usual places by default. */
  readonly places?: readonly RuntimeEndpoint[];
}

/** In the data directory: two engines may start in another order than before, and pods stay with the one they run on. */
const fileName = "runtime-endpoint.json";

/**
 * The engine of this node: the one it used before, also while that is away, else the first of Docker, containerd and CRI-O that is
 * there. Another one would run all pods a second time, beside the containers that the first starts again when it is back.
 * @returns undefined when there is none
 */
export async function findEndpoint({
  dataDir,
  clock,
  places = usualEndpoints,
}: FindOptions): Promise<FoundEndpoint | undefined> {
  const known = readKnown(dataDir);
  if (known) return { endpoint: known, isKnown: true };
  for (const endpoint of places)
    if ((await probe(endpoint, clock)).state !== "away") return { endpoint, isKnown: false };
  return undefined;
}

/** Keeps the choice for the next start; undefined: there was none to choose. @throws when it cannot be written */
export function rememberEndpoint(dataDir: string, endpoint: RuntimeEndpoint | undefined): void {
  writeFileSync(join(dataDir, fileName), `${JSON.stringify(endpoint ?? {})}\n`, { mode: 0o600 });
}

/** For logs and findings. */
export function describeEndpoint({ kind, address }: RuntimeEndpoint): string {
  return `${kind === "docker" ? "Docker" : "CRI"} at ${address}`;
}

function readKnown(dataDir: string): RuntimeEndpoint | undefined {
  const text = readText(join(dataDir, fileName));
  // Releases before this choice knew Docker alone.
  if (text === "" && hasPods(dataDir)) return usualEndpoints[0];
  const { kind, address } = recordOf(tryJson(text));
  const isKind = kind === "docker" || kind === "cri";
  return isKind && asText(address).startsWith("unix://") ? { kind, address: asText(address) } : undefined;
}

/** The engine that has pods of this node; undefined when it has none, or when they are of nobody knows which. */
export function holderOfPods(dataDir: string): RuntimeEndpoint | undefined {
  return hasPods(dataDir) ? readKnown(dataDir) : undefined;
}

function hasPods(dataDir: string): boolean {
  const pods = join(dataDir, "pods");
  return existsSync(pods) && readdirSync(pods).length > 0;
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The first start.
    return "";
  }
}
