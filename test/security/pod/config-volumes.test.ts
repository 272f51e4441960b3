import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Container, KubeObject, Pod, Volume } from "#shared/kube";
import { eventually } from "#internal/scripts/service.ts";
import { busyboxImage, docker, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import {
  edgedWorld,
  idle,
  inPod,
  isRunning,
  podOf,
  shell,
  type EdgedWorld,
} from "#internal/test/support/edge/edged-world.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
const owner = `sec-config-${process.pid}`;
const image = `kubeedge-sec-config-${process.pid}:1`;
const up = "../".repeat(24);

function page(data: Readonly<Record<string, string>>): KubeObject {
  return { metadata: { name: "page", namespace: "default" }, data };
}

function podWith(name: string, volume: Omit<Volume, "name">, more: Partial<Container> = {}): Pod {
  const volumeMounts = [{ name: "cfg", mountPath: "/cfg", readOnly: false }];
  const container = shell(image, idle, { volumeMounts, ...more });
  return podOf(name, { containers: [container], volumes: [{ name: "cfg", ...volume }] });
}

/** A container such as edgecore 0.1 left behind: the volume is mounted writable. */
function writableContainer(at: EdgedWorld, pod: Pod, script: string): Disposable {
  const volume = join(at.dataDir, "pods", pod.metadata.uid ?? "", "volumes/cfg");
  const id = docker("run", "-d", "-v", `${volume}:/cfg`, image, "sh", "-c", `${script}; ${idle}`);
  return { [Symbol.dispose]: () => void docker("rm", "-f", id) };
}

/** @throws Error naming `what` when it is not so within 10 s */
function seen(what: string, is: () => boolean): Promise<void> {
  return eventually(10_000, async () => {
    if (!is()) throw new Error(`not seen: ${what}`);
  });
}

/** A directory of the host that no container is given. */
function hostDir(): Disposable & { readonly path: string; readonly files: () => string[] } {
  const dir = tempDir("host");
  const path = join(dir.path, "victim");
  mkdirSync(path);
  writeFileSync(join(path, "kept"), "host");
  return {
    path,
    files: () => (existsSync(path) ? readdirSync(path).sort() : []),
    [Symbol.dispose]: () => dir[Symbol.dispose](),
  };
}

describe.skipIf(!hasEngine())("a container with a ConfigMap, Secret or token volume", () => {
  let made: Disposable | undefined;
  beforeAll(() => {
    made = busyboxImage(image);
  });
  afterAll(() => made?.[Symbol.dispose]());

  test("cannot write to it, whatever readOnly of the pod is", async () => {
    await using at = await edgedWorld(owner);
    const { edge } = at;
    await edge.configure("configmap", "page", page({ a: "one" }));
    await edge.configure("secret", "cred", { metadata: { name: "cred" }, data: { s: btoa("x") } });
    const kinds: Record<string, Omit<Volume, "name">> = {
      config: { configMap: { name: "page" } },
      secret: { secret: { secretName: "cred" } },
      projected: { projected: { sources: [{ configMap: { name: "page" } }] } },
      downward: { downwardAPI: { items: [{ path: "a", fieldRef: { fieldPath: "metadata.name" } }] } },
    };
    const volumes = Object.entries(kinds).map(([name, volume]) => ({ name, ...volume }));
    const mounts = Object.keys(kinds).map((name) => ({ name, mountPath: `/${name}`, readOnly: false }));
    const sub = { name: "config", mountPath: "/sub", subPath: "a", readOnly: false };
    const container = shell(image, idle, { volumeMounts: [...mounts, sub] });
    const pod = podOf("writes", { containers: [container], volumes });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    const tries = Object.keys(kinds).map((name) => `(echo x > /${name}/new) 2>&1`);
    const output = inPod(pod, "c", `${tries.join("; ")}; (echo x > /sub) 2>&1; cat /sub /config/a`);
    expect(output.split("\n").map((line) => line.replace(/^.*: /, ""))).toEqual([
      ...Array<string>(5).fill("Read-only file system"),
      "oneone",
    ]);
  });

  test("cannot have a host directory deleted when the files change", async () => {
    await using at = await edgedWorld(owner);
    using host = hostDir();
    const { edge } = at;
    await edge.configure("configmap", "page", page({ a: "one" }));
    const pod = podWith("deletes", { configMap: { name: "page" } });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    const link = `rm /cfg/..data; ln -s ${up}${host.path.slice(1)} /cfg/..data; echo > /cfg/done`;
    using _attacker = writableContainer(at, pod, link);
    const done = join(at.dataDir, "pods", pod.metadata.uid ?? "", "volumes/cfg/done");
    await seen("the link", () => existsSync(done));
    await edge.configure("configmap", "page", page({ a: "two" }));
    await seen(
      "new file",
      () => !existsSync(host.path) || inPod(pod, "c", "cat /cfg/a 2>/dev/null; true") === "two",
    );
    expect(host.files()).toEqual(["kept"]);
  });

  test("cannot have files written into a host directory while they change", async () => {
    await using at = await edgedWorld(owner);
    using host = hostDir();
    const { edge } = at;
    const data = (mark: string): KubeObject =>
      page(
        Object.fromEntries(
          Array.from({ length: 60 }, (_, index) => [`k${index}`, `${mark}${"x".repeat(50_000)}`]),
        ),
      );
    await edge.configure("configmap", "page", data("0"));
    const pod = podWith("intrudes", { configMap: { name: "page" } });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    const swap = `for d in /cfg/..[0-9]*; do [ -d $d ] && [ ! -L $d ] && mv $d /cfg/old$RANDOM && ln -s ${up}${host.path.slice(1)} $d; done`;
    using _attacker = writableContainer(at, pod, `echo > /cfg/go; while :; do ${swap}; done`);
    for (let round = 1; round <= 10 && host.files().length === 1; round += 1) {
      await edge.configure("configmap", "page", data(String(round)));
      // The attacker's time: some rounds must meet it between two renames.
      await Bun.sleep(150);
    }
    expect(host.files()).toEqual(["kept"]);
  });

  test("cannot read a host file through the token that is kept without a link", async () => {
    await using at = await edgedWorld(owner);
    using host = hostDir();
    writeFileSync(join(host.path, "shadow"), "root:secret");
    const { edge } = at;
    await edge.configure("configmap", "page", page({ a: "one" }));
    const pod = podWith("reads", {
      projected: {
        sources: [{ serviceAccountToken: { path: "shadow" } }, { configMap: { name: "page" } }],
      },
    });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    const link = `rm /cfg/..data; ln -s ${up}${host.path.slice(1)} /cfg/..data; echo > /cfg/done`;
    using _attacker = writableContainer(at, pod, link);
    const volume = join(at.dataDir, "pods", pod.metadata.uid ?? "", "volumes/cfg");
    await seen("the link", () => existsSync(join(volume, "done")));
    await edge.configure("configmap", "page", page({ a: "two" }));
    const shown = (): string =>
      existsSync(join(volume, "a")) ? readFileSync(join(volume, "a"), "utf8") : "";
    await seen("new file", () => shown() === "two");
    expect(inPod(pod, "c", "cat /cfg/shadow 2>/dev/null || echo nothing")).toBe("nothing");
  });
});
