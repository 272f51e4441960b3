import { describeError } from "#shared/errors";
import { fail, ok, type Finding } from "#shared/cli";

const install = "install and start one, e.g. `apt-get install docker.io`";

/** Whether the container engine answers, and which it is. */
export async function checkEngine(address: string): Promise<Finding> {
  const socket = address.startsWith("unix://") ? address.slice("unix://".length) : undefined;
  const base = socket === undefined ? address.replace(/^tcp:/, "http:") : "http://localhost";
  try {
    const response = await fetch(`${base}/version`, {
      ...(socket !== undefined && { unix: socket }),
      signal: AbortSignal.timeout(5000),
    });
    const { Version, ApiVersion } = (await response.json()) as { Version?: string; ApiVersion?: string };
    if (!response.ok || Version === undefined)
      return fail("container engine", `${address} answers ${response.status}`, install);
    return ok("container engine", `${address}: version ${Version}, API ${ApiVersion ?? "unknown"}`);
  } catch (error) {
    return fail("container engine", `${address}: ${describeError(error)}`, install);
  }
}
