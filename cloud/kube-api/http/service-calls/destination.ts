import { parseObject } from "#cloud/kube-api/schema";
import { childOf, itemsOf, numberOf, textOf, type JsonObject } from "#shared/json";

/** The pod behind an address, which its node can be asked to connect to. */
export interface ServicePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly node: string;
  readonly port: number;
}

/** Where a server is: who is connected to, and whose certificate is expected. */
export interface Destination {
  readonly host: string;
  readonly port: number;
  readonly serverName: string;
  readonly pod: ServicePod | undefined;
}

interface Objects {
  get(resource: string, key: string): string | undefined;
}

/** A part that is missing on the way to a server; `reason` as the condition of an APIService names it. */
export class MissingEndpoint extends Error {
  readonly reason: "ServiceNotFound" | "ServicePortError" | "EndpointsNotFound" | "MissingEndpoints";

  constructor(reason: MissingEndpoint["reason"], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** @param service namespace, name and port, as webhooks and APIServices refer to it @throws MissingEndpoint */
export function destinationOfService(service: JsonObject, store: Objects): Destination {
  const [namespace, name] = [textOf(service, "namespace"), textOf(service, "name")];
  const wanted = numberOf(service, "port") ?? 443;
  const serverName = `${name}.${namespace}.svc`;
  const text = store.get("/services", `${namespace}/${name}`);
  if (text === undefined)
    throw new MissingEndpoint("ServiceNotFound", `service ${JSON.stringify(name)} not found`);
  const spec = childOf(parseObject(text), "spec");
  if (textOf(spec, "type") === "ExternalName")
    return { host: textOf(spec, "externalName"), port: wanted, serverName, pod: undefined };
  const port = itemsOf(spec, "ports").find((one) => one.port === wanted);
  if (!port)
    throw new MissingEndpoint(
      "ServicePortError",
      `no service port ${wanted} found for service ${JSON.stringify(name)}`,
    );
  const endpoints = store.get("/endpoints", `${namespace}/${name}`);
  const none = `no endpoints available for service ${JSON.stringify(name)}`;
  if (endpoints === undefined) throw new MissingEndpoint("EndpointsNotFound", none);
  for (const subset of itemsOf(parseObject(endpoints), "subsets")) {
    const [address] = itemsOf(subset, "addresses");
    const named = itemsOf(subset, "ports").find((one) => textOf(one, "name") === textOf(port, "name"));
    const number = numberOf(named, "port");
    if (address && number !== undefined)
      return {
        host: textOf(address, "ip"),
        port: number,
        serverName,
        pod: podOf(address, namespace, number),
      };
  }
  throw new MissingEndpoint("MissingEndpoints", none);
}

function podOf(address: JsonObject, namespace: string, port: number): ServicePod | undefined {
  const target = childOf(address, "targetRef");
  const node = textOf(address, "nodeName");
  if (textOf(target, "kind") !== "Pod" || node === "") return undefined;
  return { namespace, name: textOf(target, "name"), uid: textOf(target, "uid"), node, port };
}

export function destinationOfUrl(url: URL): Destination {
  const host = url.hostname.replaceAll(/^\[|\]$/g, "");
  return { host, port: url.port === "" ? 443 : Number(url.port), serverName: host, pod: undefined };
}
