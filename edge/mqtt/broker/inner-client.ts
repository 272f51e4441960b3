import type { Client } from "aedes";
import type { BrokerClient } from "#edge/mqtt/connection";

export function inner(client: Client): BrokerClient {
  return client as unknown as BrokerClient;
}
