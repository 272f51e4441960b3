import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "#shared/clock";
import type { Container } from "#shared/kube";
import { containerMounts } from "#internal/edge/edged/volumes/container-mounts.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

type VolumeMount = NonNullable<Container["volumeMounts"]>[number];

/** What is said of a mount of a program's hostPath, before anything is made on the host. */
async function refusal(dir: string, over: Partial<VolumeMount>): Promise<string> {
  const host = join(dir, "host");
  const podDir = join(dir, "pod");
  const pinsDir = join(dir, "pins");
  for (const path of [host, podDir, pinsDir]) mkdirSync(path, { recursive: true });
  const container = {
    name: "c",
    image: "process:///bin/true",
    volumeMounts: [{ name: "v", mountPath: "/v", ...over }],
  };
  const volumes = [{ name: "v", hostPath: { path: host } }];
  const made = containerMounts({
    pod: { metadata: { name: "p", uid: "u" }, spec: { containers: [container], volumes } },
    container,
    volumes: new Map([["v", host]]),
    env: new Map([["NAME", "made"]]),
    terminationLog: join(podDir, "log"),
    podDir,
    hosts: { hostname: "p", domain: "cluster.local", podIps: [] },
    pinsDir,
    served: new Set(),
    ofProcesses: true,
    clock: systemClock,
    signal: new AbortController().signal,
  });
  const said = await made.then(
    async (mounts) => {
      await mounts[Symbol.asyncDispose]();
      return "mounted";
    },
    (error: Error) => error.message,
  );
  expect([existsSync(join(host, "made")), readdirSync(pinsDir)]).toEqual([false, []]);
  return said;
}

test("root looks for nothing below a hostPath of a program, and makes nothing there", async () => {
  using dir = tempDir();
  expect(await refusal(dir.path, {})).toBe("mounted");
  for (const over of [{ subPath: "made" }, { subPathExpr: "$(NAME)" }])
    expect(await refusal(dir.path, over)).toContain(
      'subPath of volumeMount "v" is not supported for processes: the volume is a hostPath',
    );
  expect(await refusal(dir.path, { readOnly: true, recursiveReadOnly: "IfPossible" })).toContain(
    'recursiveReadOnly of volumeMount "v" is not supported for processes',
  );
});
