import { describeError } from "#shared/errors";
import { fail, ok, type Finding } from "#shared/cli";
import { asText, recordOf } from "#shared/json";

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
    const answer = recordOf(await response.json());
    const version = asText(answer["Version"]);
    if (!response.ok || version === "")
      return fail("container engine", `${address} answers ${response.status}`, install);
    const api = asText(answer["ApiVersion"]) || "unknown";
    return ok("container engine", `${address}: version ${version}, API ${api}`);
  } catch (error) {
    return fail("container engine", `${address}: ${describeError(error)}`, install);
  }
}
