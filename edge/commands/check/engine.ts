import { AppError, describeError } from "#shared/errors";
import { fail, ok, warn, type Finding } from "#shared/cli";
import type { Clock } from "#shared/clock";
import { asText, recordOf } from "#shared/json";
import { findEndpoint, type RuntimeEndpoint } from "#edge/runtime/choose";
import { examineCri, type CriExamination } from "#edge/runtime/cri";

const subject = "container engine";
const install = "install and start one, e.g. `apt-get install docker.io` or `apt-get install containerd`";
const answerMs = 5000;

/** Whether the container engine answers, which it is, and whether it can run pods. Without an endpoint it is looked for. */
export async function* checkEngine(
  configured: RuntimeEndpoint | undefined,
  {
    dataDir,
    clock,
    processes,
  }: {
    readonly dataDir: string;
    readonly clock: Clock;
    /** Whether pods may run programs of the machine, so that no engine is needed. */
    readonly processes: boolean;
  },
): AsyncGenerator<Finding> {
  const endpoint = configured ?? (await findEndpoint({ dataDir, clock }))?.endpoint;
  if (!endpoint && processes) yield ok(subject, "none: pods run programs of this machine (edged.processes)");
  else if (!endpoint)
    yield fail(
      subject,
      "found neither Docker nor containerd nor CRI-O",
      `${install}, or set edged.runtime-endpoint`,
    );
  else if (endpoint.kind === "docker") yield await checkDocker(endpoint.address);
  else yield* checkCri(endpoint.address, clock);
}

async function checkDocker(address: string): Promise<Finding> {
  const socket = address.startsWith("unix://") ? address.slice("unix://".length) : undefined;
  const base = socket === undefined ? address.replace(/^tcp:/, "http:") : "http://localhost";
  try {
    const response = await fetch(`${base}/version`, {
      ...(socket !== undefined && { unix: socket }),
      signal: AbortSignal.timeout(answerMs),
    });
    const answer = recordOf(await response.json());
    const version = asText(answer["Version"]);
    if (!response.ok || version === "")
      return fail(subject, `${address} answers ${response.status}`, install);
    const api = asText(answer["ApiVersion"]) || "unknown";
    return ok(subject, `Docker at ${address}: version ${version}, API ${api}`);
  } catch (error) {
    return fail(subject, `${address}: ${describeError(error)}`, install);
  }
}

async function* checkCri(address: string, clock: Clock): AsyncGenerator<Finding> {
  try {
    const found = await examineCri(address, { clock, timeoutMs: answerMs });
    const { name, version, problem } = found.info;
    const evidence = `${name} at ${address}: version ${version}, CRI v1`;
    if (problem === undefined) yield ok(subject, evidence);
    else
      yield fail(
        subject,
        `${evidence}; ${problem}`,
        "install CNI plugins and a configuration: see docs/containerd.md",
      );
    yield* checkSandboxImage(found);
  } catch (error) {
    yield fail(subject, `${address}: ${reasonOf(error)}`, install);
  }
}

/** What the engine has pulled, or will have to pull. */
function* checkSandboxImage({ sandboxImage: { name, id } }: CriExamination): Generator<Finding> {
  if (name === "") return;
  if (id !== "") yield ok("sandbox image", name);
  else
    yield warn(
      "sandbox image",
      `${name} has to be pulled`,
      "without a registry: `edgecore pause-image | ctr -n k8s.io images import -`",
    );
}

/** The cause of gRPC says little beyond the sentence of ours. */
function reasonOf(error: unknown): string {
  return error instanceof AppError ? error.message : describeError(error);
}
