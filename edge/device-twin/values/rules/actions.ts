import type { RuleAction } from "#shared/device-rules";
import { describeError } from "#shared/errors";
import { asRecord } from "#shared/json";
import type { Device } from "#shared/kube";
import type { Store } from "#edge/store";
import type { DeviceRulesPort } from "./port.ts";

export interface ActionParts {
  readonly port: DeviceRulesPort;
  readonly store: Pick<Store, "metas">;
  /** Ports of local servers that rules may call: those of `service-bus.allowed-ports`. */
  readonly allowedPorts: readonly number[];
  /** Ports of edgecore itself, which are never called. */
  readonly ownPorts: () => Iterable<number>;
}

/** A local server answers at once, or the device it controls would wait. */
const requestTimeoutMs = 5000;

/**
 * Does what a rule says.
 * @returns why it could not be done; undefined when it was
 */
export async function act(
  action: RuleAction,
  namespace: string,
  parts: ActionParts,
): Promise<string | undefined> {
  try {
    if (action.kind === "set") return await setDesired(action, namespace, parts);
    if (action.kind === "http") return await request(action, parts);
    const { topic, payload, retain } = action;
    await parts.port.emit("mqtt.publish", {
      topic,
      payload: Buffer.from(payload),
      ...(retain ? { retain } : {}),
    });
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}

async function setDesired(
  { device: name, property, value }: Extract<RuleAction, { kind: "set" }>,
  namespace: string,
  { port, store }: ActionParts,
): Promise<string | undefined> {
  const row = store.metas.find(store.metas.keyOf({ type: "device", namespace, name }));
  // A row of a Device, which the API made.
  const device = row && (asRecord(JSON.parse(row.value)) as Device | undefined);
  if (!device) return `device ${namespace}/${name} is not on this node`;
  const uid = device.metadata.uid ?? "";
  const isSet = await port.ask("device.desire", {
    namespace,
    name,
    uid,
    values: new Map([[property, value]]),
  });
  return isSet ? undefined : `device ${namespace}/${name} cannot be set now`;
}

async function request(
  { url, method, body }: Extract<RuleAction, { kind: "http" }>,
  { allowedPorts, ownPorts }: ActionParts,
): Promise<string | undefined> {
  const port = Number(url.port === "" ? "80" : url.port);
  if ([...ownPorts()].includes(port)) return `port ${port} is one of edgecore's own`;
  if (!allowedPorts.includes(port)) return `port ${port} is not in service-bus.allowed-ports`;
  const answer = await fetch(url, {
    method,
    ...(method === "GET" ? {} : { body }),
    // An allowed server must not lead to one that is not.
    redirect: "manual",
    signal: AbortSignal.timeout(requestTimeoutMs),
  });
  await answer.body?.cancel();
  return answer.ok ? undefined : `${method} ${url.host}${url.pathname} answered ${answer.status}`;
}
