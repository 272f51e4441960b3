import { Refusal, refusals } from "#cloud/kube-api/status";
import { asText, childOf, itemsOf, metadataOf, numberOf, textOf, type JsonObject } from "#shared/json";
import { refusePod } from "#shared/pod-streams";
import type { ProxyName } from "./proxy-name.ts";

/** A port of a pod that a request goes to. */
export interface PodPort {
  readonly pod: string;
  /** Empty when it is not known. */
  readonly uid: string;
  readonly port: number;
}

/** The port that is asked for, else the first that a container names (`ResourceLocation` of `registry/core/pod`). @throws Refusal */
export function portOfPod(pod: JsonObject, { scheme, port }: ProxyName): PodPort {
  const first = itemsOf(childOf(pod, "spec"), "containers").flatMap((one) => itemsOf(one, "ports"))[0];
  const byDefault = numberOf(first, "containerPort") ?? (scheme === "https" ? 443 : 80);
  const number = port === "" ? byDefault : Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535)
    throw refusals.badRequest(`${JSON.stringify(port)} is not a port`);
  const { name, uid } = metadataOf(pod);
  return { pod: asText(name), uid: asText(uid), port: number };
}

/** One of the pods behind a port of a Service (`ResourceLocation` of `registry/core/service`); `choose` picks among them. @throws Refusal */
export function portOfService(
  service: JsonObject,
  endpoints: JsonObject | undefined,
  asked: { readonly port: string; readonly choose: (count: number) => number },
): PodPort {
  const name = asText(metadataOf(service)["name"]);
  const wanted = portNameOf(service, name, asked.port);
  const ready = itemsOf(endpoints, "subsets").flatMap((subset) =>
    itemsOf(subset, "ports")
      .filter((port) => (textOf(port, "name") ?? "") === wanted)
      .flatMap((port) => itemsOf(subset, "addresses").flatMap((address) => podPortOf(address, port))),
  );
  const chosen = ready[asked.choose(ready.length)];
  if (!chosen) throw unavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  return chosen;
}

/** Endpoints without a pod are addresses somebody wrote: cloudcore has no way to their network. */
function podPortOf(address: JsonObject, port: JsonObject): PodPort[] {
  const pod = childOf(address, "targetRef");
  const number = numberOf(port, "port");
  if (textOf(pod, "kind") !== "Pod" || number === undefined) return [];
  return [{ pod: textOf(pod, "name") ?? "", uid: textOf(pod, "uid") ?? "", port: number }];
}

function portNameOf(service: JsonObject, name: string, port: string): string {
  const number = /^\d+$/.test(port) ? Number(port) : undefined;
  if (number === undefined) return port;
  const found = itemsOf(childOf(service, "spec"), "ports").find((one) => numberOf(one, "port") === number);
  if (!found) throw unavailable(`no service port ${number} found for service ${JSON.stringify(name)}`);
  return textOf(found, "name") ?? "";
}

function unavailable(message: string): Refusal {
  return new Refusal(refusePod.unavailable(message).toStatus());
}
