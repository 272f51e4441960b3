import type { Client } from "aedes";
import type { InnerClient } from "#edge/mqtt/connection";

export function inner(client: Client): InnerClient {
  return client as unknown as InnerClient;
}
