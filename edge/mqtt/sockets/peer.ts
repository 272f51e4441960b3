import type { Duplex } from "node:stream";

/** The remote end of a stream. */
export interface SocketPeer {
  readonly address: string | undefined;
  /** common name of the client certificate, signed by `mqtt.broker.cafile`; undefined without one */
  readonly certificateName: string | undefined;
  /** To be called when its CONNECT is accepted: until then it may be closed in favor of a new connection. */
  readonly markAccepted: () => void;
}

export type Accept = (stream: Duplex, peer: SocketPeer) => void;
