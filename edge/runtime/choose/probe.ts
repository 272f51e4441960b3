import { existsSync } from "node:fs";
import type { Clock } from "#shared/clock";
import { asError, describeError, UnavailableError } from "#shared/errors";
import { examineCri } from "#edge/runtime/cri";
import { pathOf, type RuntimeEndpoint } from "./endpoint.ts";

/** "slow": something listens and has not answered yet, as an engine that is being started. */
export type Probed =
  { readonly state: "answers" | "slow" } | { readonly state: "away"; readonly reason: string };

const probeMs = 2000;

/** Whether there is an engine. */
export async function probe(endpoint: RuntimeEndpoint, clock: Clock): Promise<Probed> {
  if (!existsSync(pathOf(endpoint))) return { state: "away", reason: "there is no such socket" };
  return endpoint.kind === "docker" ? probeDocker(endpoint) : probeCri(endpoint, clock);
}

async function probeDocker(endpoint: RuntimeEndpoint): Promise<Probed> {
  try {
    const signal = AbortSignal.timeout(probeMs);
    const response = await fetch("http://localhost/_ping", { unix: pathOf(endpoint), signal });
    return response.ok ? { state: "answers" } : { state: "away", reason: `it answers ${response.status}` };
  } catch (error) {
    return asError(error).name === "TimeoutError" ? { state: "slow" } : away(error);
  }
}

async function probeCri(endpoint: RuntimeEndpoint, clock: Clock): Promise<Probed> {
  try {
    await examineCri(endpoint.address, { clock, timeoutMs: probeMs });
    return { state: "answers" };
  } catch (error) {
    return error instanceof UnavailableError && error.code === "timeout" ? { state: "slow" } : away(error);
  }
}

function away(error: unknown): Probed {
  return { state: "away", reason: describeError(error) };
}
