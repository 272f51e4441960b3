import type { Client } from "aedes";
import type { BrokerClient } from "#edge/mqtt/connection";

/** A client with its private fields, which the types of aedes (a pinned version) leave out. */
export function inner(client: Client): BrokerClient {
  return client as unknown as BrokerClient;
}
