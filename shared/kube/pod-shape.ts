import { isRecord } from "#shared/json";
import { quantityNumber } from "./quantity.ts";

/**
 * What a field has to be where it is given: a basic type, a list of some shape, a map of texts, or an object whose known
 * fields have shapes. Fields that are absent, null or unknown are left to their readers.
 */
type Shape = "text" | "number" | "flag" | "text or number" | "texts" | "quantities" | List | Fields;

class List {
  readonly items: Shape;

  constructor(items: Shape) {
    this.items = items;
  }
}

interface Fields {
  readonly [field: string]: Shape;
}

const list = (shape: Shape): List => new List(shape);
const texts = list("text");

const items = list({ key: "text", path: "text", mode: "number" });
const fieldItems = list({ path: "text", fieldRef: { fieldPath: "text" }, mode: "number" });
const action: Fields = {
  exec: { command: texts },
  httpGet: {
    path: "text",
    port: "text or number",
    host: "text",
    scheme: "text",
    httpHeaders: list({ name: "text", value: "text" }),
  },
  tcpSocket: { port: "text or number", host: "text" },
  sleep: { seconds: "number" },
};
const probe: Fields = {
  ...action,
  initialDelaySeconds: "number",
  timeoutSeconds: "number",
  periodSeconds: "number",
  successThreshold: "number",
  failureThreshold: "number",
  terminationGracePeriodSeconds: "number",
};
const profile: Fields = { type: "text", localhostProfile: "text" };
const sharedSecurity: Fields = {
  runAsUser: "number",
  runAsGroup: "number",
  runAsNonRoot: "flag",
  seLinuxOptions: { user: "text", role: "text", type: "text", level: "text" },
  seccompProfile: profile,
  appArmorProfile: profile,
};
const quantities: Fields = { limits: "quantities", requests: "quantities" };

const container: Fields = {
  name: "text",
  image: "text",
  imagePullPolicy: "text",
  command: texts,
  args: texts,
  workingDir: "text",
  env: list({
    name: "text",
    value: "text",
    valueFrom: {
      configMapKeyRef: { name: "text", key: "text" },
      secretKeyRef: { name: "text", key: "text" },
      fieldRef: { fieldPath: "text" },
      resourceFieldRef: { containerName: "text", resource: "text", divisor: "text or number" },
    },
  }),
  envFrom: list({ prefix: "text", configMapRef: { name: "text" }, secretRef: { name: "text" } }),
  ports: list({
    name: "text",
    containerPort: "number",
    hostPort: "number",
    hostIP: "text",
    protocol: "text",
  }),
  resources: quantities,
  resizePolicy: list({ resourceName: "text", restartPolicy: "text" }),
  volumeMounts: list({
    name: "text",
    mountPath: "text",
    subPath: "text",
    subPathExpr: "text",
    readOnly: "flag",
    recursiveReadOnly: "text",
  }),
  livenessProbe: probe,
  readinessProbe: probe,
  startupProbe: probe,
  lifecycle: { postStart: action, preStop: action },
  restartPolicy: "text",
  terminationMessagePath: "text",
  securityContext: {
    ...sharedSecurity,
    privileged: "flag",
    capabilities: { add: texts, drop: texts },
    procMount: "text",
  },
};

const containerState: Fields = {
  running: { startedAt: "text" },
  terminated: { exitCode: "number" },
  waiting: { reason: "text" },
};

const containerStatus: Fields = {
  name: "text",
  containerID: "text",
  restartCount: "number",
  state: containerState,
  lastState: containerState,
  resources: quantities,
};

const volume: Fields = {
  name: "text",
  emptyDir: { medium: "text", sizeLimit: "text or number" },
  hostPath: { path: "text", type: "text" },
  configMap: { name: "text", items, defaultMode: "number" },
  secret: { secretName: "text", items, defaultMode: "number" },
  downwardAPI: { items: fieldItems, defaultMode: "number" },
  projected: {
    defaultMode: "number",
    sources: list({
      configMap: { name: "text", items },
      secret: { name: "text", items },
      downwardAPI: { items: fieldItems },
      serviceAccountToken: { audience: "text", expirationSeconds: "number", path: "text" },
    }),
  },
};

const pod: Fields = {
  metadata: {
    name: "text",
    namespace: "text",
    uid: "text",
    resourceVersion: "text",
    deletionTimestamp: "text",
    deletionGracePeriodSeconds: "number",
    labels: "texts",
    annotations: "texts",
  },
  spec: {
    nodeName: "text",
    hostname: "text",
    subdomain: "text",
    setHostnameAsFQDN: "flag",
    runtimeClassName: "text",
    readinessGates: list({ conditionType: "text" }),
    restartPolicy: "text",
    terminationGracePeriodSeconds: "number",
    activeDeadlineSeconds: "number",
    dnsPolicy: "text",
    dnsConfig: { nameservers: texts, searches: texts, options: list({ name: "text", value: "text" }) },
    hostAliases: list({ ip: "text", hostnames: texts }),
    serviceAccountName: "text",
    imagePullSecrets: list({ name: "text" }),
    overhead: "quantities",
    containers: list(container),
    initContainers: list(container),
    ephemeralContainers: list({ ...container, targetContainerName: "text" }),
    volumes: list(volume),
    securityContext: {
      ...sharedSecurity,
      fsGroup: "number",
      supplementalGroups: list("number"),
      sysctls: list({ name: "text", value: "text" }),
    },
  },
  status: {
    startTime: "text",
    conditions: list({ type: "text", status: "text" }),
    containerStatuses: list(containerStatus),
    initContainerStatuses: list(containerStatus),
    ephemeralContainerStatuses: list(containerStatus),
  },
};

/**
 * The first field of a pod that has not the type of the API, as in `spec.volumes[0]: expected an object`; undefined when all
 * that is read of it can be. An API server lets none of these through: they come of a broken peer or a damaged disk.
 */
export function findPodFault(object: unknown): string | undefined {
  return isRecord(object) ? findFault(object, pod, "") : "expected an object";
}

/** The same without fields that are null: Kubernetes takes them as absent, and so may all who read the pod. */
export function withoutNulls<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutNulls) as T;
  if (!isRecord(value)) return value;
  const given = Object.entries(value).filter(([, inner]) => inner !== null);
  // The fields are those of T, apart from null, which no type of a pod has.
  return Object.fromEntries(given.map(([field, inner]) => [field, withoutNulls(inner)])) as T;
}

function findFault(value: unknown, shape: Shape, path: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof shape === "string") return isOf(value, shape) ? undefined : `${path}: expected ${names[shape]}`;
  if (shape instanceof List) return findListFault(value, shape.items, path);
  if (!isRecord(value)) return `${path}: expected an object`;
  for (const [field, inner] of Object.entries(shape)) {
    const given = Object.hasOwn(value, field) ? value[field] : undefined;
    const fault = findFault(given, inner, path === "" ? field : `${path}.${field}`);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

function findListFault(value: unknown, shape: Shape, path: string): string | undefined {
  if (!Array.isArray(value)) return `${path}: expected a list`;
  for (const [index, one] of value.entries()) {
    const here = `${path}[${index}]`;
    const fault =
      one === undefined || one === null ? `${here}: expected no null` : findFault(one, shape, here);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

const names = {
  text: "a string",
  number: "a number",
  flag: "true or false",
  "text or number": "a string or a number",
  texts: "an object of strings",
  quantities: "an object of quantities",
} as const;

function isOf(value: unknown, kind: keyof typeof names): boolean {
  switch (kind) {
    case "text":
      return typeof value === "string";
    case "number":
      return typeof value === "number";
    case "flag":
      return typeof value === "boolean";
    case "text or number":
      return typeof value === "string" || typeof value === "number";
    case "quantities":
      return isRecord(value) && Object.values(value).every(isQuantity);
    case "texts":
      return isRecord(value) && Object.values(value).every((one) => typeof one === "string");
  }
}

function isQuantity(value: unknown): boolean {
  return typeof value === "number" || (typeof value === "string" && quantityNumber(value) !== undefined);
}
