/** HTTPS for programs on the node and in its pods. */
export { CertificateSource, type ServerCertificates } from "./certificates.ts";
export { Listeners, type ListenersOptions } from "./listeners.ts";
export { OpenHttp } from "./open-http.ts";
export { NodeApi } from "./node-api.ts";
export { ensureOperatorToken, writeOperatorKubeconfig } from "./operator.ts";
export type { PodNetwork } from "./pod-network.ts";
