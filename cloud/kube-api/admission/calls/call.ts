import {
  callService,
  describeFailure,
  destinationOfService,
  destinationOfUrl,
  textWithin,
  type Destination,
  type ReachPod,
} from "#cloud/kube-api/http/service-calls";
import type { RevisionStore } from "#cloud/kube-api/store";
import { childOf, numberOf, textOf, type JsonObject } from "#shared/json";

/** Bytes of an answer: as large as an object may be, in base64 and with room. */
const largestAnswer = 8 * 1024 * 1024;

/** Where a webhook is. */
export interface Hooked {
  readonly destination: Destination;
  readonly path: string;
  readonly ca: string | undefined;
  /** As messages name it. */
  readonly url: string;
}

/** Where the client configuration of a webhook points. @throws Error naming what is missing */
export function hookedAt(client: JsonObject, store: RevisionStore): Hooked {
  const bundle = textOf(client, "caBundle");
  const ca = bundle === "" ? undefined : Buffer.from(bundle, "base64").toString("utf8");
  const service = childOf(client, "service");
  if (service) {
    const destination = destinationOfService(service, store);
    const path = textOf(service, "path") || "/";
    const wanted = numberOf(service, "port") ?? 443;
    return { destination, path, ca, url: `https://${destination.serverName}:${wanted}${path}` };
  }
  const url = new URL(textOf(client, "url"));
  return { destination: destinationOfUrl(url), path: `${url.pathname}${url.search}`, ca, url: url.href };
}

/**
 * Posts a review. The time is for all of it, however slowly the answer drips. @throws Error with the text of Go's client where it
 * has one
 */
export async function post(
  { destination, path, ca, url }: Hooked,
  sent: { readonly body: string; readonly timeoutMs: number },
  reach?: ReachPod,
): Promise<string> {
  const { body, timeoutMs } = sent;
  const timed = `${path.includes("?") ? "&" : "?"}timeout=${timeoutMs / 1000}s`;
  const signal = AbortSignal.timeout(timeoutMs);
  const headers = [
    ["content-type", "application/json"],
    ["accept", "application/json"],
    ["content-length", String(Buffer.byteLength(body))],
  ] as const;
  const call = { method: "POST", path: `${path}${timed}`, headers, body, signal };
  try {
    const { response } = await callService(destination, { ca }, call, reach);
    const text = await textWithin(response, largestAnswer);
    if (response.ok) return text;
    throw new Error(`the server answered ${response.status}: ${text.slice(0, 200)}`);
  } catch (error) {
    const why = signal.aborted ? "context deadline exceeded" : describeFailure(error, destination);
    throw new Error(`Post "${url}${timed}": ${why}`, { cause: error });
  }
}
