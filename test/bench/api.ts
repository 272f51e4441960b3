import { readFileSync } from "node:fs";

export type Call = (method: string, path: string, body?: unknown) => Promise<string>;

/** Does `work` that many times, `width` at once. @returns how many a second */
export async function inFlight(
  total: number,
  width: number,
  work: (at: number) => Promise<unknown>,
): Promise<number> {
  let next = 0;
  const started = performance.now();
  const worker = async (): Promise<void> => {
    while (next < total) await work((next += 1));
  };
  await Promise.all(Array.from({ length: width }, worker));
  return (total * 1000) / (performance.now() - started);
}

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: Readonly<Record<string, string>> }[];
  readonly users: readonly { readonly user: Readonly<Record<string, string>> }[];
}

type Send = (method: string, path: string, body?: unknown) => Promise<Response>;

/** Where the API of a kubeconfig file is, and with what its user is let in. */
export interface Access {
  readonly url: string;
  readonly tls: { readonly ca: string; readonly cert?: string; readonly key?: string };
  readonly headers: Readonly<Record<string, string>>;
}

export function readAccess(kubeconfig: string): Access {
  const { clusters, users } = Bun.YAML.parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  const [cluster, user] = [clusters[0]?.cluster ?? {}, users[0]?.user ?? {}];
  const decode = (text: string | undefined): string => Buffer.from(text ?? "", "base64").toString();
  const tls = {
    ca: decode(cluster["certificate-authority-data"]),
    ...(user["client-certificate-data"] !== undefined && {
      cert: decode(user["client-certificate-data"]),
      key: decode(user["client-key-data"]),
    }),
  };
  const headers = { ...(user["token"] !== undefined && { authorization: `Bearer ${user["token"]}` }) };
  return { url: cluster["server"] ?? "", tls, headers };
}

/** Sends requests to the API of a kubeconfig file; the answer is read by the caller, failures throw. */
export function sendTo(kubeconfig: string): Send {
  const { url, tls, headers: authorization } = readAccess(kubeconfig);
  const headers = { "content-type": "application/json", ...authorization };
  return async (method, path, body) => {
    const init = {
      method,
      tls,
      headers,
      timeout: false,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    };
    const response = await fetch(`${url}${path}`, init);
    if (response.ok) return response;
    throw new Error(`${method} ${path}: ${response.status} ${(await response.text()).slice(0, 300)}`);
  };
}

/** Calls the API a kubeconfig file names; failures throw. */
export function connectTo(kubeconfig: string): Call {
  const send = sendTo(kubeconfig);
  return async (method, path, body) => (await send(method, path, body)).text();
}

/** Events of a watch until the caller stops reading. */
export async function* watchOf(
  kubeconfig: string,
  path: string,
): AsyncGenerator<{ readonly object: unknown }> {
  const response = await sendTo(kubeconfig)("GET", `${path}?watch=1`);
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) if (line !== "") yield JSON.parse(line) as { object: unknown };
  }
}
