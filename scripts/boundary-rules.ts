/** The dependency table of CONTRIBUTING.md as data; `scripts/boundary-check.ts` applies it. */

export interface FolderRule {
  /** Folders the rule is about, as glob; the first rule that matches a file's folder decides. */
  readonly folders: readonly string[];
  /** Folders (globs) it may import values from, besides itself. */
  readonly values: readonly string[];
  /** Folders (globs) it may import types from, besides those of `values`. */
  readonly types?: readonly string[];
}

/** What `cloud/kube-api/server` is made of; they may use each other, cycles apart. */
const partsOfApi = ["cloud/api[!s]*", "cloud/apis[!e]*", "cloud/kube-api/**"];
const partsOfBroker = ["edge/mqtt/access", "edge/mqtt/flow", "edge/mqtt/sessions", "edge/mqtt/sockets"];
const leavesOfEdge = ["edge/store", "edge/store/file", "edge/runtime"];
const basics = ["shared/errors", "shared/clock", "shared/log", "shared/kube"];

export const folderRules: readonly FolderRule[] = [
  { folders: ["shared/errors", "shared/clock"], values: [] },
  { folders: ["shared/log", "shared/kube", "shared/pki"], values: ["shared/errors", "shared/clock"] },
  { folders: ["shared/files"], values: ["shared/errors"], types: ["shared/log"] },
  { folders: ["shared/config"], values: ["shared/errors", "shared/clock"], types: ["shared/log"] },
  { folders: ["shared/message"], values: ["shared/errors", "shared/kube"] },
  { folders: ["shared/devices"], values: [...basics, "shared/message"] },
  { folders: ["shared/bus"], values: [...basics, "shared/message", "shared/lifecycle"] },
  { folders: ["shared/lifecycle"], values: ["shared/errors", "shared/clock", "shared/log"] },
  {
    folders: ["shared/cli"],
    values: [...basics, "shared/config", "shared/files", "shared/lifecycle", "shared/pki"],
  },
  { folders: ["shared/local-http"], values: [...basics, "shared/connections"] },
  { folders: ["shared/**"], values: basics },
  { folders: ["cloud/kube-client"], values: [...basics, "shared/lifecycle"] },
  { folders: ["cloud/kube-api/server"], values: ["shared/**", ...partsOfApi] },
  {
    folders: partsOfApi,
    values: [...basics, "shared/files", "shared/lifecycle", "shared/pki", ...partsOfApi],
  },
  { folders: ["edge/store"], values: [...basics, "shared/lifecycle", "edge/store/file"] },
  { folders: leavesOfEdge, values: [...basics, "shared/files", "shared/lifecycle"] },
  { folders: ["cloud/commands/check"], values: ["shared/**", "cloud/kube-api/store"] },
  { folders: ["cloud/cloud-hub/node-access"], values: ["shared/**", "cloud/kube-client"] },
  {
    folders: ["cloud/commands/operator"],
    values: ["shared/**", "cloud/kube-client", "cloud/cloud-hub/node-access"],
  },
  {
    folders: ["cloud/commands/token", "cloud/commands/node"],
    values: ["shared/**", "cloud/kube-client", "cloud/cloud-hub/node-access", "cloud/commands/operator"],
  },
  {
    folders: ["cloud/cloud-hub"],
    values: ["shared/**", "cloud/cloud-hub/certificates", "cloud/kube-client", "cloud/cloud-hub/node-access"],
  },
  { folders: ["edge/commands/check"], values: ["shared/**", "edge/runtime", "edge/store"] },
  {
    folders: ["cloud/commands/adopt"],
    values: ["shared/**", "cloud/kube-client", "cloud/commands/operator"],
  },
  { folders: ["cloud/cloud-hub/certificates"], values: ["shared/**"] },
  { folders: ["cloud/controllers/framework"], values: ["shared/**", "cloud/kube-client"] },
  {
    folders: ["cloud/controllers/workloads", "cloud/controllers/scheduler"],
    values: ["shared/**", "cloud/kube-client", "cloud/controllers/framework"],
  },
  {
    folders: ["cloud/controllers/garbage-collector"],
    values: [
      "shared/**",
      "cloud/kube-client",
      "cloud/controllers/framework",
      "cloud/controllers/workloads",
      "cloud/kube-api/kinds",
    ],
  },
  {
    folders: ["cloud/controllers"],
    values: [
      "shared/**",
      "cloud/kube-client",
      "cloud/controllers/framework",
      "cloud/controllers/workloads",
      "cloud/controllers/garbage-collector",
      "cloud/controllers/scheduler",
    ],
  },
  {
    folders: ["cloud/edge-controller/node-authorization"],
    values: [...basics, "cloud/kube-client", "cloud/controllers/framework"],
  },
  {
    folders: ["cloud/edge-controller"],
    values: ["shared/**", "cloud/kube-client", "cloud/edge-controller/node-authorization"],
  },
  {
    folders: ["cloud/**"],
    values: ["shared/**", "cloud/kube-client", ...partsOfApi],
  },
  { folders: ["edge/edged/node"], values: basics },
  {
    folders: ["edge/edged/volumes", "edge/edged/security-context"],
    values: ["shared/**", "edge/edged/tokens"],
    types: leavesOfEdge,
  },
  {
    folders: ["edge/edged"],
    values: [
      "shared/**",
      "edge/edged/node",
      "edge/edged/volumes",
      "edge/edged/security-context",
      "edge/edged/tokens",
    ],
    types: leavesOfEdge,
  },
  { folders: ["edge/edge-hub"], values: ["shared/**", "edge/edge-hub/trust"], types: leavesOfEdge },
  { folders: ["edge/commands/adopt"], values: ["shared/**", "edge/store"] },
  { folders: ["edge/mqtt/broker"], values: ["shared/**", ...partsOfBroker], types: leavesOfEdge },
  { folders: ["edge/mqtt/event-bus"], values: ["shared/**", "edge/mqtt/broker"], types: leavesOfEdge },
  { folders: ["edge/**"], values: ["shared/**"], types: leavesOfEdge },
  { folders: ["cloud"], values: ["shared/**", "cloud/**"] },
  { folders: ["edge"], values: ["shared/**", "edge/**"] },
  { folders: ["scripts"], values: ["shared/**"] },
  { folders: ["test", "test/**"], values: ["shared/**", "cloud/**", "edge/**", "internal"] },
];

/** Files with a narrower table than their folder. */
export const fileRules: Readonly<Record<string, FolderRule>> = {
  "cloud/main.ts": {
    folders: [],
    values: [
      "cloud/commands/adopt",
      "cloud/cloud-hub/certificates",
      "cloud/commands/check",
      "cloud/commands/maintenance",
      "cloud/commands/node",
      "cloud/commands/token",
      "shared/**",
    ],
  },
  "edge/main.ts": {
    folders: [],
    values: ["edge/commands/adopt", "edge/commands/check", "edge/commands/simulate", "shared/**"],
  },
};

export interface Door {
  /** Package name, or the start of one when it ends with "/". */
  readonly library: string;
  readonly folders: readonly string[];
}

/** One door a library: only these folders may import it. */
export const doors: readonly Door[] = [
  {
    library: "bun:sqlite",
    folders: [
      "edge/store",
      "edge/store/file",
      "cloud/kube-api/store",
      "cloud/kube-api/server",
      "cloud/telemetry",
      "shared/cli",
    ],
  },
  { library: "dockerode", folders: ["edge/runtime"] },
  { library: "@kubernetes/client-node", folders: ["cloud/kube-client"] },
  { library: "re2js", folders: ["cloud/kube-api/custom-resources"] },
  { library: "aedes", folders: ["edge/mqtt/broker"] },
  { library: "aedes-", folders: ["edge/mqtt/broker"] },
  { library: "mqtt", folders: ["edge/mqtt/event-bus", "edge/commands/simulate"] },
  { library: "mqtt-packet", folders: ["edge/mqtt/broker", "edge/mqtt/event-bus"] },
  { library: "@peculiar/", folders: ["shared/pki"] },
  { library: "reflect-metadata", folders: ["shared/pki"] },
  { library: "ws", folders: ["cloud/cloud-hub", "edge/edge-hub", "edge/mqtt/sockets"] },
];

/** Folders that may be imported by inner path (through `#internal/…`): tests alone. */
export const internalAllowed: readonly string[] = ["test", "test/**", "scripts"];

/** Files that may read the environment or end the process. */
export const processOwners: readonly string[] = ["cloud/main.ts", "edge/main.ts", "scripts/**", "test/**"];
/** Files that may ask the machine for time or chance. */
export const timeOwners: readonly string[] = ["shared/clock/*", "scripts/**", "test/**"];

export const mostFilesAFolder = 12;

/** Where the topics are declared, and which half has to emit and hear those of each catalogue. */
export const catalogues = {
  file: "shared/message/catalog.ts",
  halves: { EdgeCatalog: "edge", CloudCatalog: "cloud" },
} as const;
