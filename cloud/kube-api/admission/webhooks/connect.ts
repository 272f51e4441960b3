import type { Policies } from "#cloud/kube-api/admission/policies";
import type { KindInfo } from "#cloud/kube-api/schema";
import type { JsonObject } from "#shared/json";
import type { Webhooks } from "./webhooks.ts";

/** An authorized request for a connection to a pod or a Service. */
export interface Connection {
  readonly kind: KindInfo;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly query: URLSearchParams;
  /** What follows the subresource `proxy`. */
  readonly path: string;
  readonly author: JsonObject;
}

/**
 * Asks the webhooks and policies with the operation CONNECT before somebody reaches into a pod; a log is read without. A patch has no effect:
 * there is nothing to store. @throws Refusal
 */
export async function admitConnection(
  { webhooks, policies }: { readonly webhooks: Webhooks; readonly policies: Policies },
  connection: Connection,
): Promise<void> {
  const { kind, subresource, namespace, name, author } = connection;
  if ((webhooks.isIdle && policies.isIdle) || subresource === "log") return;
  const options = kind.subresources.find((one) => one.name === subresource);
  const request = {
    // The object of a connection is its options; the resource stays.
    kind: { ...kind, kind: options?.kind ?? kind.kind },
    namespace,
    name,
    operation: "CONNECT",
    subresource,
    object: { apiVersion: "v1", kind: options?.kind ?? "", ...optionsOf(connection) },
    old: undefined,
    dryRun: false,
    author,
  } as const;
  const warn = (): void => undefined;
  await webhooks.mutate(request, warn);
  await policies.check(request, warn);
  await webhooks.validate(request, warn);
}

/** As `PodExecOptions`, `PodAttachOptions`, `PodPortForwardOptions` and the options of proxies. */
function optionsOf({ subresource, query, path }: Connection): JsonObject {
  if (subresource === "proxy") return { path };
  if (subresource === "portforward") return { ports: query.getAll("ports").map(Number) };
  const container = query.get("container") ?? "";
  const command = query.getAll("command");
  return {
    ...Object.fromEntries(["stdin", "stdout", "stderr", "tty"].map((name) => [name, isSet(query.get(name))])),
    ...(container !== "" && { container }),
    ...(command.length > 0 && { command }),
  };
}

function isSet(value: string | null): boolean {
  return value === "" || value === "1" || value?.toLowerCase() === "true";
}
