/**
 * A Kubernetes API server in the process: kinds, watches and rules of the real one, objects in SQLite.
 *
 * 1. A write is answered after it is durable.
 * 2. Watches resume from any revision still in the history, also after a restart; otherwise they get 410 Expired.
 * 3. Refusals are `Status` objects with the texts and reasons of kube-apiserver.
 * 4. Knows nothing of edge nodes, controllers or the bus.
 */
export { startApiServer } from "./start-api-server.ts";
export type { ApiServer, ApiServerConfig, ApiServerDeps } from "./api-server.ts";
export type { Admission, AdmissionCause, Lookup } from "#cloud/kube-api/objects";
export { adminKubeconfig, writeKubeconfig } from "#cloud/kube-api/auth";
