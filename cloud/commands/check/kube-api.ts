import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "#shared/errors";
import { fail, ok, type Finding } from "#shared/cli";
import type { CloudConfig } from "#shared/config";
import { asText, recordOf } from "#shared/json";

interface ApiServer {
  readonly server: string;
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly token: string | undefined;
}

/** Requests the version of the API server with the credentials cloudcore would use. */
export async function checkApi(
  config: CloudConfig,
  running: { readonly pid: number | undefined },
): Promise<Finding> {
  const { kube, embedded, dataDir } = config;
  const embeddedKubeconfig = join(dataDir, "kubeconfig");
  if (embedded && (running.pid === undefined || !existsSync(embeddedKubeconfig)))
    return ok("Kubernetes API", "embedded, served once cloudcore runs");
  const name = kube.master ?? kube.kubeconfig ?? embeddedKubeconfig;
  try {
    const target =
      kube.master === undefined ? readKubeconfig(name) : { server: kube.master, tls: {}, token: undefined };
    return await ask(target);
  } catch (error) {
    const remedy = embedded ? "see the log of cloudcore" : "correct controller.kube or start the API server";
    return fail("Kubernetes API", `${name}: ${describeError(error)}`, remedy);
  }
}

async function ask({ server, tls, token }: ApiServer): Promise<Finding> {
  const response = await fetch(new URL("/version", server), {
    tls,
    signal: AbortSignal.timeout(5000),
    ...(token !== undefined && { headers: { authorization: `Bearer ${token}` } }),
  });
  if (!response.ok)
    return fail(
      "Kubernetes API",
      `${server} answers with HTTP ${response.status}`,
      "use credentials that it accepts",
    );
  const { gitVersion } = recordOf(await response.json());
  return ok("Kubernetes API", `${server} answers, version ${asText(gitVersion) || "unknown"}`);
}

/** The current context of a kubeconfig; exec plugins are left to the client proper. */
function readKubeconfig(file: string): ApiServer {
  const whole = recordOf(Bun.YAML.parse(readFileSync(file, "utf8")));
  const pick = (list: string, name: unknown, inner: string): Entry => {
    const entries = whole[list];
    const found = Array.isArray(entries) ? entries.map(recordOf).find((entry) => entry["name"] === name) : {};
    return recordOf(found?.[inner]);
  };
  const context = pick("contexts", whole["current-context"], "context");
  const cluster = pick("clusters", context["cluster"], "cluster");
  const user = pick("users", context["user"], "user");
  const server = cluster["server"];
  if (typeof server !== "string") throw new Error("its current context has no server");
  const ca = material(cluster, "certificate-authority");
  const cert = material(user, "client-certificate");
  const key = material(user, "client-key");
  return {
    server,
    tls: {
      ...(ca !== undefined && { ca }),
      ...(cert !== undefined && { cert }),
      ...(key !== undefined && { key }),
    },
    token: typeof user["token"] === "string" ? user["token"] : undefined,
  };
}

type Entry = ReturnType<typeof recordOf>;

/** A field that holds base64 data under `<name>-data`, or the path of a file. */
function material(entry: Entry, name: string): string | undefined {
  const data = entry[`${name}-data`];
  if (typeof data === "string") return Buffer.from(data, "base64").toString();
  const file = entry[name];
  return typeof file === "string" ? readFileSync(file, "utf8") : undefined;
}
