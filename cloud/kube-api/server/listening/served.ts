import type { Peer } from "#cloud/kube-api/auth";
import type { ServedBy } from "#cloud/kube-api/flow-control";
import type { UpgradeOffer } from "#shared/upgrades";

/** The server of a request. */
export interface Served extends ServedBy {
  /** Set when the client asks for another protocol, on a route that has one. */
  readonly offer?: UpgradeOffer;
  /** Of the connection. */
  readonly peer?: Peer;
}

export type HttpHandler = (request: Request, server: Served) => Response | Promise<Response>;
