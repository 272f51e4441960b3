/** The dependency table of CONTRIBUTING.md as data; `scripts/boundaries/check.ts` applies it. */

export interface FolderRule {
  /** Folders the rule is about, as glob; the first rule that matches a file's folder decides. */
  readonly folders: readonly string[];
  /** Folders (globs) it may import values from, besides itself. */
  readonly values: readonly string[];
  /** Folders (globs) it may import types from, besides those of `values`. */
  readonly types?: readonly string[];
}

const basics = [
  "shared/bytes",
  "shared/errors",
  "shared/clock",
  "shared/json",
  "shared/log",
  "shared/kube",
  "shared/release",
];
const api = ["cloud/kube-client"];
const leavesOfEdge = ["edge/store/**", "edge/runtime/**"];

/**
 * The folders of a component (`cloud/kube-api/**`, `edge/mqtt/**`) may use each other, cycles apart: a row says what
 * they may use besides.
 */
export const folderRules: readonly FolderRule[] = [
  { folders: ["shared/bytes", "shared/errors", "shared/clock", "shared/json", "shared/release"], values: [] },
  {
    folders: ["shared/log", "shared/kube", "shared/pki"],
    values: ["shared/errors", "shared/clock", "shared/json"],
  },
  {
    folders: ["shared/files", "shared/config"],
    values: ["shared/errors", "shared/clock"],
    types: ["shared/log"],
  },
  {
    folders: ["shared/lifecycle"],
    values: ["shared/errors", "shared/clock", "shared/log"],
  },
  {
    folders: ["shared/topics"],
    values: [],
    types: ["shared/kube", "shared/rules", "shared/streams", "shared/usage"],
  },
  {
    folders: ["shared/devices/**"],
    values: [...basics, "shared/devices/*", "shared/jinja", "shared/mqtt"],
  },
  { folders: ["shared/device-rules"], values: [...basics, "shared/devices", "shared/mqtt"] },
  { folders: ["shared/rules"], values: [...basics, "shared/mqtt"] },
  { folders: ["shared/jinja/**"], values: [...basics, "shared/jinja/*"] },
  { folders: ["shared/dmi"], values: [...basics, "shared/grpc"] },
  { folders: ["shared/mapper"], values: [...basics, "shared/dmi", "shared/grpc", "shared/lifecycle"] },
  { folders: ["shared/streams"], values: basics, types: ["shared/transport"] },
  {
    folders: ["shared/kubelet-api"],
    values: [...basics, "shared/pod-requests", "shared/pod-streams"],
    types: ["shared/upgrades"],
  },
  { folders: ["shared/kubelet-tunnel"], values: basics, types: ["shared/transport"] },
  { folders: ["shared/pod-streams"], values: [...basics, "shared/streams"] },
  { folders: ["shared/upgrades"], values: [...basics, "shared/transport"] },
  {
    folders: ["shared/remote-command"],
    values: [...basics, "shared/pod-streams", "shared/spdy", "shared/upgrades"],
    types: ["shared/streams", "shared/transport"],
  },
  {
    folders: ["shared/pod-requests"],
    values: [...basics, "shared/pod-streams", "shared/remote-command"],
    types: ["shared/upgrades"],
  },
  { folders: ["shared/bus"], values: [...basics, "shared/lifecycle"] },
  {
    folders: ["shared/cli"],
    values: [
      ...basics,
      "shared/config",
      "shared/files",
      "shared/lifecycle",
      "shared/pki",
      "shared/prometheus",
      "shared/service-manager",
      "shared/sqlite",
    ],
  },
  { folders: ["shared/local-http"], values: [...basics, "shared/connections"] },
  { folders: ["shared/sqlite"], values: [...basics, "shared/files"] },
  { folders: ["shared/service-manager"], values: [...basics, "shared/libc"] },
  { folders: ["shared/*"], values: basics },

  { folders: ["cloud/kube-client"], values: [...basics, "shared/lifecycle"] },
  { folders: ["cloud/kube-api/server/**"], values: ["shared/**"] },
  {
    folders: ["cloud/kube-api/**"],
    values: [
      ...basics,
      "shared/cron",
      "shared/files",
      "shared/lifecycle",
      "shared/patch",
      "shared/pki",
      "shared/sqlite",
      "shared/tables",
    ],
  },
  {
    folders: ["cloud/controllers/**"],
    values: ["shared/**", ...api, "cloud/kube-api/kinds"],
  },
  {
    folders: ["cloud/edge-controller/**"],
    values: ["shared/**", ...api, "cloud/controllers/framework"],
  },
  {
    folders: ["cloud/commands/**"],
    values: ["shared/**", ...api, "cloud/cloud-hub/*", "cloud/kube-api/store"],
  },
  { folders: ["cloud", "cloud/compose"], values: ["shared/**", "cloud/**"] },
  {
    folders: ["cloud/*/**"],
    values: ["shared/**", ...api, "cloud/kube-api/*"],
  },

  {
    folders: ["edge/runtime/cri/streams"],
    values: [...basics, "shared/lifecycle", "shared/spdy", "shared/upgrades"],
  },
  {
    folders: leavesOfEdge,
    values: [
      ...basics,
      "shared/files",
      "shared/libc",
      "shared/grpc",
      "shared/image-names",
      "shared/lifecycle",
      "shared/sqlite",
    ],
  },
  { folders: ["edge/commands/**"], values: ["shared/**", ...leavesOfEdge] },
  {
    folders: ["edge/*/**"],
    values: ["shared/**", "edge/edge-hub/codec"],
    types: leavesOfEdge,
  },
  { folders: ["edge"], values: ["shared/**", "edge/**"] },

  { folders: ["scripts", "scripts/**"], values: ["shared/**"] },
  {
    folders: ["test", "test/**"],
    values: ["shared/**", "cloud/**", "edge/**", "internal"],
  },
];

/** Files with a narrower table than their folder. */
export const fileRules: Readonly<Record<string, FolderRule>> = {
  "cloud/main.ts": {
    folders: [],
    values: ["cloud/commands/*", "cloud/cloud-hub/certificates", "cloud/compose", "shared/**"],
  },
  "edge/main.ts": { folders: [], values: ["edge/commands/*", "shared/**"] },
};

export interface Door {
  /** Package name or alias of a folder, or the start of one when it ends with "/". */
  readonly library: string;
  readonly folders: readonly string[];
}

/** One door a library: only these folders may import it. */
export const doors: readonly Door[] = [
  {
    library: "bun:sqlite",
    folders: [
      "edge/store/**",
      "cloud/kube-api/store/**",
      "cloud/router/delivery",
      "cloud/telemetry",
      "shared/cli",
      "shared/sqlite",
    ],
  },
  {
    library: "#shared/wire",
    folders: ["cloud/cloud-hub/codec", "edge/edge-hub/codec"],
  },
  { library: "croner", folders: ["shared/cron"] },
  {
    library: "bun:ffi",
    folders: [
      "edge/edged/volumes/held-paths",
      "edge/runtime/pod-network",
      "edge/store/journal",
      "shared/libc",
      "shared/service-manager",
    ],
  },
  { library: "dockerode", folders: ["edge/runtime/docker"] },
  { library: "@grpc/", folders: ["edge/runtime/device-plugins"] },
  { library: "protobufjs", folders: ["edge/runtime/device-plugins"] },
  { library: "@kubernetes/client-node", folders: ["cloud/kube-client"] },
  { library: "js-yaml", folders: ["cloud/kube-api/http"] },
  { library: "re2js", folders: ["cloud/kube-api/custom-resources/patterns", "shared/jinja/filters"] },
  { library: "@huggingface/jinja", folders: ["shared/jinja"] },
  { library: "@marcbachmann/cel-js", folders: ["cloud/kube-api/custom-resources/cel/**"] },
  {
    library: "mqtt",
    folders: ["edge/mqtt/event-bus", "edge/commands/simulate"],
  },
  {
    library: "mqtt-packet",
    folders: ["edge/mqtt/packet", "edge/mqtt/event-bus"],
  },
  { library: "@peculiar/", folders: ["shared/pki"] },
  { library: "reflect-metadata", folders: ["shared/pki"] },
  {
    library: "hono",
    folders: [
      "cloud/kube-api/server/**",
      "cloud/telemetry/**",
      "edge/device-twin/**",
      "edge/service-bus",
      "shared/local-http",
    ],
  },
  { library: "zod", folders: ["shared/config"] },
  {
    library: "ws",
    folders: [
      "cloud/cloud-hub/**",
      "edge/edge-hub/**",
      "edge/mqtt/sockets",
      "shared/transport",
      "shared/upgrades",
    ],
  },
];

/** Folders that may be imported by inner path (through `#internal/…`): tests alone. */
export const internalAllowed: readonly string[] = ["test", "test/**", "scripts", "scripts/**"];

/** Files that may read the environment or end the process. */
export const processOwners: readonly string[] = ["cloud/main.ts", "edge/main.ts", "scripts/**", "test/**"];
/** Files that may ask the machine for time, chance or a turn of the event loop. */
export const timeOwners: readonly string[] = ["shared/clock/*", "scripts/**", "test/**"];

/** Folders that are read at a glance; `shared` and its mirror in `test` are lists of words. */
export const foldersAtAGlance = /^(cloud|edge|shared\/|test(?!\/shared$))/;
/** Files and folders in such a folder. */
export const mostEntriesAFolder = 13;
/** Lines of one source file; comments and blank lines count, other than in lint. */
export const mostLinesAFile = 400;

/** Where the topics are declared, and which half has to emit and receive those of each catalog. */
export const catalogs = [
  { file: "shared/topics/edge-catalog.ts", name: "EdgeCatalog", half: "edge" },
  {
    file: "shared/topics/cloud-catalog.ts",
    name: "CloudCatalog",
    half: "cloud",
  },
] as const;
