import { describe, expect, test } from "bun:test";
import { findKind, tableCells, tableColumns, builtinKinds, type KindInfo } from "#cloud/kube-api/kinds";
import { findByPath, humanDuration } from "#cloud/kube-api/kinds/tables";
import type { Json, JsonObject } from "#shared/json";

const nowMs = Date.parse("2026-01-02T00:00:00Z");
const created = "2026-01-01T23:00:00Z";

function cells(apiVersion: string, kind: string, object: JsonObject): Json[] {
  const info = findKind(apiVersion, kind);
  if (info === undefined) throw new Error(`no ${kind}`);
  return tableCells(
    info,
    { ...object, metadata: { name: "x", creationTimestamp: created, ...(object.metadata as JsonObject) } },
    nowMs,
  );
}

describe("ages", () => {
  test.each([
    [-5000, "<invalid>"],
    [-500, "0s"],
    [0, "0s"],
    [119_000, "119s"],
    [120_000, "2m"],
    [150_000, "2m30s"],
    [600_000, "10m"],
    [3 * 3_600_000 + 60_000, "3h1m"],
    [8 * 3_600_000, "8h"],
    [47 * 3_600_000, "47h"],
    [49 * 3_600_000, "2d1h"],
    [30 * 86_400_000, "30d"],
    [800 * 86_400_000, "2y70d"],
    [9 * 365 * 86_400_000, "9y"],
  ])("of %d ms are shown as kubectl does", (ms, text) => {
    expect(humanDuration(ms)).toBe(text);
  });
});

describe("a pod's row", () => {
  const spec = {
    nodeName: "edge-1",
    containers: [{ name: "a" }, { name: "b" }],
    initContainers: [{ name: "i" }],
  };
  const statusOf = (pod: JsonObject): Json[] => cells("v1", "Pod", { spec, ...pod }).slice(1, 4);

  test.each([
    [{ status: { phase: "Pending" } }, ["0/2", "Pending", "0"]],
    [
      {
        status: {
          phase: "Pending",
          initContainerStatuses: [{ name: "i", state: { waiting: { reason: "PodInitializing" } } }],
        },
      },
      ["0/2", "Init:0/1", "0"],
    ],
    [
      {
        status: {
          phase: "Pending",
          initContainerStatuses: [
            { name: "i", restartCount: 2, state: { waiting: { reason: "CrashLoopBackOff" } } },
          ],
        },
      },
      ["0/2", "Init:CrashLoopBackOff", "2"],
    ],
    [
      {
        status: {
          phase: "Pending",
          initContainerStatuses: [{ name: "i", state: { terminated: { exitCode: 3 } } }],
        },
      },
      ["0/2", "Init:ExitCode:3", "0"],
    ],
    [
      {
        status: {
          phase: "Running",
          containerStatuses: [
            { name: "a", ready: true, state: { running: {} } },
            {
              name: "b",
              restartCount: 4,
              state: { waiting: { reason: "CrashLoopBackOff" } },
              lastState: { terminated: { finishedAt: "2026-01-01T23:55:00Z" } },
            },
          ],
        },
      },
      ["1/2", "CrashLoopBackOff", "4 (5m ago)"],
    ],
    [
      {
        status: {
          phase: "Running",
          containerStatuses: [{ name: "a", ready: false, state: { terminated: { exitCode: 0, signal: 9 } } }],
        },
      },
      ["0/2", "Signal:9", "0"],
    ],
    [{ metadata: { deletionTimestamp: created }, status: { phase: "Running" } }, ["0/2", "Terminating", "0"]],
    [
      { metadata: { deletionTimestamp: created }, status: { phase: "Running", reason: "NodeLost" } },
      ["0/2", "Unknown", "0"],
    ],
    [{ status: { phase: "Failed", reason: "Evicted" } }, ["0/2", "Evicted", "0"]],
  ] as [JsonObject, Json[]][])("shows readiness, status and restarts of %j", (pod, want) => {
    expect(statusOf(pod)).toEqual(want);
  });
});

describe("rows", () => {
  test("of an edge node show its role, state and addresses", () => {
    const node = {
      metadata: { labels: { "node-role.kubernetes.io/edge": "", "node-role.kubernetes.io/agent": "" } },
      spec: { unschedulable: true },
      status: {
        conditions: [{ type: "Ready", status: "True" }],
        addresses: [{ type: "InternalIP", address: "192.168.0.2" }],
        nodeInfo: {
          kubeletVersion: "v1.27.7-kubeedge-v1.15.4",
          osImage: "Debian",
          kernelVersion: "6.1",
          containerRuntimeVersion: "docker://20.10",
        },
      },
    };
    expect(cells("v1", "Node", node)).toEqual([
      "x",
      "Ready,SchedulingDisabled",
      "agent,edge",
      "60m",
      "v1.27.7-kubeedge-v1.15.4",
      "192.168.0.2",
      "<none>",
      "Debian",
      "6.1",
      "docker://20.10",
    ]);
  });

  test("of an event show time, reason and object", () => {
    const event = {
      lastTimestamp: "2026-01-01T23:59:50Z",
      firstTimestamp: "2026-01-01T23:58:00Z",
      type: "Warning",
      reason: "BackOff",
      count: 7,
      message: "Back-off\n",
      involvedObject: { kind: "Pod", name: "p", fieldPath: "spec.containers{c}" },
      source: { component: "edged", host: "edge-1" },
    };
    expect(cells("v1", "Event", event)).toEqual([
      "10s",
      "Warning",
      "BackOff",
      "pod/p",
      "spec.containers{c}",
      "edged, edge-1",
      "Back-off",
      "2m",
      7,
      "x",
    ]);
  });

  test("of a job, a lease and a cron job show their progress", () => {
    const job = { spec: { completions: 3 }, status: { succeeded: 1, startTime: created } };
    expect(cells("batch/v1", "Job", job).slice(0, 4)).toEqual(["x", "1/3", "60m", "60m"]);
    expect(cells("coordination.k8s.io/v1", "Lease", { spec: { holderIdentity: "edge-1" } })).toEqual([
      "x",
      "edge-1",
      "60m",
    ]);
    expect(cells("batch/v1", "CronJob", { spec: { schedule: "* * * * *" } }).slice(0, 5)).toEqual([
      "x",
      "* * * * *",
      "False",
      0,
      "<none>",
    ]);
  });

  test("have as many cells as there are columns for every kind", () => {
    const counts = builtinKinds()
      .filter((kind) => kind.stored)
      .map((kind: KindInfo) => [
        kind.kind,
        tableCells(kind, { metadata: { name: "x" } }, nowMs).length - tableColumns(kind).length,
      ]);
    expect(counts.filter(([, difference]) => difference !== 0)).toEqual([]);
  });
});

describe("a column's path", () => {
  const object: Json = {
    status: {
      conditions: [
        { type: "Ready", status: "True" },
        { type: "Other", status: "False" },
      ],
      "a.b": 1,
      list: [1, 2],
    },
  };
  test.each([
    ['.status.conditions[?(@.type=="Ready")].status', ["True"]],
    [".status.conditions[?(@.type=='Gone')].status", []],
    [".status.conditions[*].type", ["Ready", "Other"]],
    [".status.list[1]", [2]],
    [".status['a.b']", [1]],
    [String.raw`.status.a\.b`, [1]],
    [".status.nothing.at.all", []],
    ["{.status.list[0]}", [1]],
    [".status[", []],
  ] as [string, Json[]][])("%s finds %j", (path, want) => {
    expect(findByPath(path, object)).toEqual(want);
  });
});
