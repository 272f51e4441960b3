import { request } from "node:https";
import { isIP } from "node:net";
import type { RevisionStore } from "#cloud/kube-api/store";
import { parseObject } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";

/** Bytes of an answer: as large as an object may be, in base64 and with room. */
const largestAnswer = 8 * 1024 * 1024;

/** Where a webhook is: who is connected to, and whose certificate is expected. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly serverName: string;
  readonly ca: string | undefined;
  /** As messages name it. */
  readonly url: string;
}

/**
 * Where the client configuration of a webhook points. A Service is reached by its endpoints, if cloudcore has a route to them:
 * edge nodes have no cluster network. @throws Error naming what is missing
 */
export function destinationOf(client: JsonObject, store: RevisionStore): Destination {
  const bundle = textOf(client, "caBundle");
  const ca = bundle === "" ? undefined : Buffer.from(bundle, "base64").toString("utf8");
  const service = childOf(client, "service");
  if (service) return { ...serviceDestination(service, store), ca };
  const url = new URL(textOf(client, "url"));
  const port = url.port === "" ? 443 : Number(url.port);
  const host = url.hostname.replaceAll(/^\[|\]$/g, "");
  return { host, port, path: `${url.pathname}${url.search}`, serverName: host, ca, url: url.href };
}

function serviceDestination(service: JsonObject, store: RevisionStore): Omit<Destination, "ca"> {
  const [namespace, name] = [textOf(service, "namespace"), textOf(service, "name")];
  const wanted = numberOf(service, "port") ?? 443;
  const serverName = `${name}.${namespace}.svc`;
  const path = textOf(service, "path") || "/";
  const url = `https://${serverName}:${wanted}${path}`;
  const text = store.get("/services", `${namespace}/${name}`);
  if (text === undefined) throw new Error(`service ${JSON.stringify(name)} not found`);
  const spec = childOf(parseObject(text), "spec");
  if (textOf(spec, "type") === "ExternalName")
    return { host: textOf(spec, "externalName"), port: wanted, path, serverName, url };
  const port = itemsOf(spec, "ports").find((one) => one.port === wanted);
  if (!port) throw new Error(`no service port ${wanted} found for service ${JSON.stringify(name)}`);
  const endpoints = parseObject(store.get("/endpoints", `${namespace}/${name}`) ?? "{}");
  for (const subset of itemsOf(endpoints, "subsets")) {
    const [address] = itemsOf(subset, "addresses");
    const named = itemsOf(subset, "ports").find((one) => textOf(one, "name") === textOf(port, "name"));
    const number = numberOf(named, "port");
    if (address && number !== undefined)
      return { host: textOf(address, "ip"), port: number, path, serverName, url };
  }
  throw new Error(`no endpoints available for service ${JSON.stringify(name)}`);
}

/**
 * Posts a review. The time is for all of it, however slowly the answer drips. @throws Error with the text of Go's client where it
 * has one
 */
export async function post(destination: Destination, body: string, timeoutMs: number): Promise<string> {
  const { host, port, path, serverName, ca, url } = destination;
  const mark = path.includes("?") ? "&" : "?";
  const timed = `${mark}timeout=${timeoutMs / 1000}s`;
  const signal = AbortSignal.timeout(timeoutMs);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const sent = request(
    {
      host,
      port,
      path: `${path}${timed}`,
      method: "POST",
      ...(isIP(serverName) === 0 && { servername: serverName }),
      signal,
      ...(ca !== undefined && { ca }),
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json",
        Host: `${serverName}:${port}`,
      },
    },
    (response) => {
      const pieces: Buffer[] = [];
      let size = 0;
      response.on("data", (piece: Buffer) => {
        size += piece.length;
        if (size > largestAnswer) sent.destroy(new Error(`the answer is larger than ${largestAnswer} bytes`));
        else pieces.push(piece);
      });
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(pieces).toString("utf8");
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve(text);
        else reject(new Error(`the server answered ${status}: ${text.slice(0, 200)}`));
      });
    },
  );
  sent.on("error", (error) => reject(signal.aborted ? new Error("context deadline exceeded") : error));
  sent.end(body);
  try {
    return await promise;
  } catch (error) {
    const why = signal.aborted
      ? "context deadline exceeded"
      : error instanceof Error
        ? error.message
        : String(error);
    throw new Error(`Post "${url}${timed}": ${why}`, { cause: error });
  }
}
