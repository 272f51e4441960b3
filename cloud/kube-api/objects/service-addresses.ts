import { parseObject } from "#cloud/kube-api/schema";
import { refusals } from "#cloud/kube-api/status";
import type { RevisionChange, RevisionStore } from "#cloud/kube-api/store";
import type { Clock } from "#shared/clock";
import { asText, isObject, type Json, type JsonObject } from "#shared/json";

const resource = "/services";
const named = { group: "", plural: "services", kind: "Service" };
/** Offsets into 10.96.0.0/16; the first 256 are left to fixed addresses, as upstream reserves a band. */
const clusterIps = { first: 257, count: 65_000 };
/** Upstream's --service-node-port-range */
const nodePorts = { first: 30_000, count: 2768 };

/** Allocates cluster IPs (10.96.0.0/16) and node ports (30000-32767), each to one Service at a time. */
export class ServiceAddresses implements Disposable {
  readonly #clock: Clock;
  readonly #used = new Map<string, string>();
  readonly #following: Disposable;

  constructor(store: RevisionStore, clock: Clock) {
    this.#clock = clock;
    for (const { key, revision } of store.list(resource)) {
      const text = store.text(revision);
      if (text !== undefined) this.#take(key, parseObject(text));
    }
    this.#following = store.follow(resource, (changes) => {
      for (const change of changes) this.#sync(change);
    });
  }

  /** Fills in the addresses and ports a Service lacks. Changes `service`. @throws Refusal (Invalid) when one is taken */
  assign(key: string, service: JsonObject): void {
    this.#assign(key, service, {});
  }

  /** `before` is the spec of the Service that is stored: the ports it has are not judged again. */
  #assign(key: string, service: JsonObject, before: JsonObject): void {
    const spec = isObject(service["spec"]) ? service["spec"] : {};
    if (spec["type"] === "ExternalName") return;
    this.#assignAddress(key, service, spec);
    if (spec["type"] === "NodePort" || spec["type"] === "LoadBalancer")
      this.#assignPorts(key, service, { spec, before });
    if (isHealthChecked(spec)) this.#assignHealthPort(key, service, { spec, before });
    this.#take(key, service);
  }

  /** An update that leaves the address out keeps it; then as `assign`. Changes `next`. @throws Refusal */
  keep(key: string, next: JsonObject, current: JsonObject): void {
    const spec = isObject(next["spec"]) ? next["spec"] : {};
    const before = isObject(current["spec"]) ? current["spec"] : {};
    if (spec["type"] === "ExternalName") return;
    if ((spec["clusterIP"] ?? "") === "" && before["clusterIP"] !== undefined) {
      spec["clusterIP"] = before["clusterIP"];
      if (before["clusterIPs"] !== undefined) spec["clusterIPs"] = before["clusterIPs"];
    }
    if (isHealthChecked(spec) && isHealthChecked(before)) keepHealthPort(next, spec, before[healthPort]);
    this.#assign(key, next, before);
  }

  /** Releases what a Service that was not stored has taken. */
  release(key: string): void {
    for (const [address, owner] of this.#used) if (owner === key) this.#used.delete(address);
  }

  [Symbol.dispose](): void {
    this.#following[Symbol.dispose]();
  }

  #sync(change: RevisionChange): void {
    this.release(change.key);
    if (change.type !== "DELETED") this.#take(change.key, parseObject(change.text));
  }

  #assignAddress(key: string, service: JsonObject, spec: JsonObject): void {
    const asked = typeof spec["clusterIP"] === "string" ? spec["clusterIP"] : "";
    if (asked === "None") {
      spec["clusterIPs"] = ["None"];
      return;
    }
    // What is no address at all, the validation refuses.
    if (asked !== "" && !ipv4.test(asked)) return;
    const taken = asked !== "" && this.#isTaken(asked, key);
    const fault = taken ? "provided IP is already allocated" : outsideOf(asked);
    if (fault !== undefined) {
      const message = `Invalid value: []string{"${asked}"}: failed to allocate IP ${asked}: ${fault}`;
      throw invalid(service, "spec.clusterIPs", message);
    }
    spec["clusterIP"] = asked === "" ? this.#freeAddress() : asked;
    spec["clusterIPs"] = [spec["clusterIP"]];
  }

  #assignPorts(key: string, service: JsonObject, { spec, before }: Specs): void {
    const had = nodePortsOf(before);
    const ports = Array.isArray(spec["ports"]) ? spec["ports"] : [];
    const given = new Map<string, number>();
    for (const [index, port] of ports.entries()) {
      if (!isObject(port)) continue;
      const asked = port["nodePort"];
      const protocol = asText(port["protocol"]) || "TCP";
      if (typeof asked === "number" && asked > 0) {
        const fault = had.has(`${protocol}:${asked}`) ? undefined : this.#portFault(protocol, asked, key);
        if (fault !== undefined)
          throw invalid(service, `spec.ports[${index}].nodePort`, `Invalid value: ${asked}: ${fault}`);
        continue;
      }
      const free = this.#freePort(protocol, given);
      given.set(`${protocol}:${free}`, free);
      port["nodePort"] = free;
    }
  }

  /** Where a balancer asks a node whether it has pods of the Service. */
  #assignHealthPort(key: string, service: JsonObject, { spec, before }: Specs): void {
    const asked = spec[healthPort] ?? 0;
    if (typeof asked !== "number" || asked === 0) {
      const own = (Array.isArray(spec["ports"]) ? spec["ports"] : []).flatMap((port) =>
        isObject(port) && typeof port["nodePort"] === "number"
          ? [[`TCP:${port["nodePort"]}`, 0] as const]
          : [],
      );
      spec[healthPort] = this.#freePort("TCP", new Map(own));
      return;
    }
    if (isHealthChecked(before) && asked === before[healthPort]) return;
    const fault = this.#portFault("TCP", asked, key);
    const start = `failed to allocate requested HealthCheck NodePort ${asked}`;
    if (fault !== undefined)
      throw invalid(service, healthField, `Invalid value: ${asked}: ${start}: ${fault}`);
  }

  /** Why a Service cannot have a node port; undefined: it can. */
  #portFault(protocol: string, asked: number, key: string): string | undefined {
    const last = nodePorts.first + nodePorts.count - 1;
    if (this.#isTaken(`${protocol}:${asked}`, key)) return "provided port is already allocated";
    return asked < nodePorts.first || asked > last
      ? `provided port is not in the valid range. The range of valid ports is ${nodePorts.first}-${last}`
      : undefined;
  }

  #freeAddress(): string {
    const start = Math.floor(this.#clock.random() * clusterIps.count);
    for (let step = 0; step < clusterIps.count; step += 1) {
      const number = clusterIps.first + ((start + step) % clusterIps.count);
      const address = `10.96.${number >> 8}.${number & 255}`;
      if (!this.#used.has(address)) return address;
    }
    throw refusals.internalError("failed to allocate a serviceIP: range is full");
  }

  #freePort(protocol: string, given: ReadonlyMap<string, number>): number {
    const start = Math.floor(this.#clock.random() * nodePorts.count);
    for (let step = 0; step < nodePorts.count; step += 1) {
      const port = nodePorts.first + ((start + step) % nodePorts.count);
      const name = `${protocol}:${port}`;
      if (!this.#used.has(name) && !given.has(name)) return port;
    }
    throw refusals.internalError("failed to allocate a nodePort: range is full");
  }

  #isTaken(address: string, key: string): boolean {
    return (this.#used.get(address) ?? key) !== key;
  }

  #take(key: string, service: JsonObject): void {
    const spec = isObject(service["spec"]) ? service["spec"] : {};
    const address = spec["clusterIP"];
    if (typeof address === "string" && address !== "" && address !== "None") this.#used.set(address, key);
    if (typeof spec[healthPort] === "number") this.#used.set(`TCP:${spec[healthPort]}`, key);
    for (const port of nodePortsOf(spec)) this.#used.set(port, key);
  }
}

/** The spec that is wanted, and the one that is stored; empty for a new Service. */
interface Specs {
  readonly spec: JsonObject;
  readonly before: JsonObject;
}

/** The ports on nodes, e.g. `TCP:30000`. */
function nodePortsOf(spec: JsonObject): Set<string> {
  const found = new Set<string>();
  for (const port of Array.isArray(spec["ports"]) ? spec["ports"] : [])
    if (isObject(port) && typeof port["nodePort"] === "number")
      found.add(`${asText(port["protocol"]) || "TCP"}:${port["nodePort"]}`);
  return found;
}

const healthPort = "healthCheckNodePort";
const healthField = `spec.${healthPort}`;
const fixedHealthPort =
  "cannot change healthCheckNodePort on loadBalancer service with externalTraffic=Local during update";

/** `NeedsHealthCheck` of pkg/api/v1/service. */
function isHealthChecked(spec: JsonObject): boolean {
  return spec["type"] === "LoadBalancer" && spec["externalTrafficPolicy"] === "Local";
}

function keepHealthPort(next: JsonObject, spec: JsonObject, had: Json | undefined): void {
  const asked = spec[healthPort] ?? 0;
  if (had === undefined) return;
  if (asked !== 0 && asked !== had)
    throw invalid(next, healthField, `Invalid value: ${asText(asked)}: ${fixedHealthPort}`);
  spec[healthPort] = had;
}

const ipv4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Why an address cannot be given; undefined for one of the range, and for none. */
function outsideOf(address: string): string | undefined {
  return address === "" || address.startsWith("10.96.")
    ? undefined
    : `the provided IP (${address}) is not in the valid range. The range of valid IPs is 10.96.0.0/16`;
}

function invalid(service: JsonObject, field: string, message: string): Error {
  const { metadata } = service;
  const name = isObject(metadata) && typeof metadata["name"] === "string" ? metadata["name"] : "";
  return refusals.unprocessable(named, name, { reason: "FieldValueInvalid", message, field });
}
