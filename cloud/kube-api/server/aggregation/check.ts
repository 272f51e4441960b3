import {
  callService,
  describeFailure,
  destinationOfService,
  MissingEndpoint,
  textWithin,
  type Destination,
  type ReachPod,
  type Trust,
} from "#cloud/kube-api/http/service-calls";
import { asError } from "#shared/errors";
import { childOf, isObject, itemsOf, textOf, tryJson, type Json, type JsonObject } from "#shared/json";
import type { ApiService, Verdict } from "./api-service.ts";
import { userHeaders } from "./user-headers.ts";

/** As the availability controller of kube-aggregator. */
const checkMs = 5_000;
/** Far more than a list of resources; a document of OpenAPI has megabytes and is passed on as it comes. */
const longestBody = 4 * 1024 * 1024;
/** The server delegates the decision to this API, where this user may do everything. */
const checker = { name: "system:kube-aggregator", groups: ["system:masters"] } as const;

export interface Checked {
  readonly verdict: Verdict;
  /** Of its `APIResourceList`; undefined when it was not seen. */
  readonly resources: readonly JsonObject[] | undefined;
  readonly openApiHash: string | undefined;
}

interface CheckParts {
  readonly store: { get(resource: string, key: string): string | undefined };
  readonly identity: Trust["identity"];
  readonly reach: ReachPod;
  readonly signal: AbortSignal;
}

/** Whether a server answers for its version, and what it serves. Never rejects. */
export async function checkService(service: ApiService, parts: CheckParts): Promise<Checked> {
  const { group, version } = service;
  const path = `/apis/${group}/${version}`;
  try {
    const destination = destinationOfService(service.service, parts.store);
    const ask = asker(service, destination, parts);
    const url = `https://${destination.serverName}:${destination.port}${path}`;
    const failed = (why: string): Checked =>
      unavailable("FailedDiscoveryCheck", `failing or missing response from ${url}: ${why}`);
    let response: Response;
    let list: Json | undefined;
    try {
      response = await ask(path);
      list = await bodyOf(response);
    } catch (error) {
      return failed(`Get "${url}": ${describeFailure(error, destination)}`);
    }
    if (!response.ok) return failed(`bad status from ${url}: ${response.status}`);
    return {
      verdict: { status: "True", reason: "Passed", message: "all checks passed" },
      resources: isObject(list) ? itemsOf(list, "resources") : [],
      openApiHash: await openApiHash(ask, path.slice(1)),
    };
  } catch (error) {
    const reason = error instanceof MissingEndpoint ? error.reason : "FailedDiscoveryCheck";
    return unavailable(reason, asError(error).message);
  }
}

function unavailable(reason: string, message: string): Checked {
  return { verdict: { status: "False", reason, message }, resources: undefined, openApiHash: undefined };
}

type Ask = (path: string) => Promise<Response>;

function asker({ ca, insecure }: ApiService, destination: Destination, parts: CheckParts): Ask {
  const headers = [["accept", "application/json"], ...userHeaders(checker)] as const;
  const trust = { ca, insecure, identity: parts.identity };
  return async (path) => {
    const signal = AbortSignal.any([parts.signal, AbortSignal.timeout(checkMs)]);
    const call = { method: "GET", path, headers, body: null, signal };
    return (await callService(destination, trust, call, parts.reach)).response;
  };
}

/** The hash in the address of its document, which changes with it. */
async function openApiHash(ask: Ask, path: string): Promise<string | undefined> {
  try {
    const index = await bodyOf(await ask("/openapi/v3"));
    const paths = isObject(index) ? childOf(index, "paths") : undefined;
    const address = textOf(childOf(paths, path), "serverRelativeURL");
    return address === "" ? undefined : (new URL(address, "https://x").searchParams.get("hash") ?? "none");
  } catch {
    return undefined;
  }
}

async function bodyOf(response: Response): Promise<Json | undefined> {
  return tryJson(await textWithin(response, longestBody));
}
