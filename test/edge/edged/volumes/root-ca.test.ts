import { expect, test } from "bun:test";
import { volumeFiles } from "#internal/edge/edged/volumes/volume-files.ts";
import type { Pod } from "#shared/kube";

const pod: Pod = { metadata: { name: "web", namespace: "default", uid: "u" }, spec: { containers: [] } };
const nodeApi = { host: "127.0.0.1", podHost: () => "172.17.0.1", port: 1, caPem: "NODE CA\n" };
const files = (name: string): Record<string, string> => {
  const data = { "ca.crt": "API CA\n", other: "x" };
  const made = volumeFiles(
    { name: "v", configMap: { name } },
    {
      pod,
      objects: new Map([[`configmap/${name}`, { metadata: {}, data }]]),
      facts: { nodeName: "n", hostIp: "", podIps: [], allocatable: {}, nodeApi },
      tokens: new Map(),
    },
  );
  return Object.fromEntries((made ?? []).map((file) => [file.path, file.data.toString()]));
};

test("a pod that trusts the CA of the API also trusts that of the API on its node", () => {
  expect(files("kube-root-ca.crt")).toEqual({ "ca.crt": "API CA\nNODE CA\n", other: "x" });
});

test("files of the same name elsewhere are as they are", () => {
  expect(files("page")).toEqual({ "ca.crt": "API CA\n", other: "x" });
});
