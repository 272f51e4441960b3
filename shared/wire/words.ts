/** Every literal of KubeEdge's wire, spelled as KubeEdge 1.15 spells it. */

export const operations = {
  insert: "insert",
  delete: "delete",
  query: "query",
  update: "update",
  patch: "patch",
  upload: "upload",
  response: "response",
  error: "error",
  keepalive: "keepalive",
  publish: "publish",
  subscribe: "subscribe",
  unsubscribe: "unsubscribe",
  get: "get",
  start: "start",
  stop: "stop",
} as const;

export const groups = {
  resource: "resource",
  meta: "meta",
  twin: "twin",
  func: "func",
  user: "user",
} as const;

export const sources = {
  /** edgehub's module name in keepalive messages */
  websocket: "websocket",
  edged: "edged",
  metaManager: "meta",
  twin: "twin",
  bus: "bus",
  serviceBus: "servicebus",
  edgeController: "edgecontroller",
  deviceController: "devicecontroller",
  cloudHub: "cloudhub",
  /** rules with an endpoint of the type in the name */
  routerEventBus: "router_eventbus",
  routerServiceBus: "router_servicebus",
  /** v0.x name of edgecontroller */
  controller: "controller",
} as const;

export const resourceTypes = {
  pod: "pod",
  podStatus: "podstatus",
  podPatch: "podpatch",
  configMap: "configmap",
  secret: "secret",
  node: "node",
  nodeStatus: "nodestatus",
  nodePatch: "nodepatch",
  lease: "lease",
  event: "event",
  serviceAccountToken: "serviceaccounttoken",
  device: "device",
  deviceModel: "devicemodel",
  membership: "membership",
  /** Not a word of KubeEdge's: desired values that were set on a node of ours, sent to our cloud alone. */
  deviceDesired: "devicedesired",
} as const;

/**
 * In the answer to the handshake our cloud promises to answer every upstream message; KubeEdge's leaves some
 * unanswered. Not a word of KubeEdge's: peers that do not know it ignore it.
 */
export const answersAllHeader = "kubeedge-answers-all";
/**
 * In the handshake our edge names its database: one that was lost and created again has another name, and the cloud knows that
 * the node has nothing of what it acknowledged before. Our cloud names its own in the answer, and a node that knows another
 * one keeps what it has. Not a word of KubeEdge's either.
 */
export const databaseHeader = "kubeedge-database";
/** "1" from our cloud and our edge: byte streams may be opened on this link. Peers that do not send it get no binary frame. */
export const streamsHeader = "kubeedge-streams";
/**
 * Codes with which our cloud closes a link that is not to be dialed again at once; peers that do not know them see the
 * reason that goes with them.
 */
export const closeCodes = {
  /** Another edgecore connected as the same node while this one was alive. */
  duplicate: 4409,
  /** The node may not connect: it is banned, was deleted, or its certificate was replaced. */
  refused: 4403,
} as const;
/** The group of messages about the link itself between our cloud and our nodes. Other peers do not know it. */
export const cloudGroup = "cloud";
/**
 * An operator in the cloud adopted its database, which the content names, for the node: it may accept it. Answered with `okText`
 * once the node has stored it.
 */
export const adoptRoute = {
  source: "cloudhub",
  group: cloudGroup,
  operation: "adopt",
  resource: "database",
} as const;
/** The largest message our cloud reads, as text in bytes: one that is larger could never be delivered. */
export const largestMessageBytes = 32 * 1024 * 1024;
/** Content of a positive acknowledgement. */
export const okText = "OK";
/** Namespace element of cluster-scoped objects. */
export const noNamespace = "null";
export const leaseNamespace = "kube-node-lease";
