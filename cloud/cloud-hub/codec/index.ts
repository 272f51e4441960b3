/** The one room of the cloud that knows how messages look on the wire. */
export { needsAck, objectOf, sortUpstream, type Upstream } from "./routing.ts";
