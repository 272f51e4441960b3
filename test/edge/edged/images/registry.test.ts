import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxImage, docker, hasEngine } from "#internal/test/support/machine/container-engine.ts";
import { freePort } from "#internal/test/support/machine/mosquitto.ts";
import {
  dockerConfig,
  hasRegistry,
  startRegistry,
  type Registry,
} from "#internal/test/support/machine/registry.ts";
import { edgedWorld, idle, isRunning, podOf, shell } from "#internal/test/support/edge/edged-world.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

setDefaultTimeout(60_000);
const owner = `registry-${process.pid}`;
const local = `kubeedge-registry-${process.pid}:1`;
const user = { name: "edge", password: "s3cret-Word" };
const gc = { highPercent: 100, lowPercent: 80, minimumAgeMs: 0, maximumAgeMs: undefined };
const pulls = { parallel: 1, idleMs: 10_000, authFile: undefined, mirrors: {} };

describe.skipIf(!hasEngine() || !hasRegistry())("images of a registry", () => {
  let made: Disposable | undefined;
  let registry: Registry;
  const names = new Set<string>();
  const push = (path: string): string => {
    const name = registry.push(local, path);
    names.add(name);
    return name;
  };

  beforeAll(async () => {
    made = busyboxImage(local);
    registry = await startRegistry(user);
  });
  afterAll(async () => {
    for (const name of names) Bun.spawnSync(["docker", "rmi", "-f", name]);
    await registry?.[Symbol.asyncDispose]();
    made?.[Symbol.dispose]();
  });

  test("a pod with the pull secret of its registry runs, and nothing shows the password", async () => {
    await using world = await edgedWorld(owner);
    const { edge } = world;
    const image = push("team/secret:1");
    const text = dockerConfig(registry.host, user);
    const data = { ".dockerconfigjson": Buffer.from(text).toString("base64") };
    await edge.configure("secret", "regcred", { kind: "Secret", metadata: { name: "regcred" }, data });
    const spec = { imagePullSecrets: [{ name: "regcred" }], containers: [shell(image, idle)] };
    const pod = podOf("secret", spec);
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    const pulled = edge.events.find(({ message }) => message.startsWith("Successfully pulled"));
    expect(pulled?.message).toMatch(
      /^Successfully pulled image ".*" in \d+\.\d{3}s \(\d+\.\d{3}s including waiting\)$/,
    );
    const shown = JSON.stringify([edge.events, edge.log.lines, [...edge.statuses.values()]]);
    for (const secret of [user.password, Buffer.from(`${user.name}:${user.password}`).toString("base64")])
      expect(shown).not.toContain(secret);
  });

  test("the newest of two secrets is tried after one that the registry refuses", async () => {
    await using world = await edgedWorld(owner);
    const { edge } = world;
    const image = push("team/two:1");
    const wrong = dockerConfig(`${registry.host}/team`, { ...user, password: "old" });
    const right = dockerConfig(registry.host, user);
    for (const [name, text] of [
      ["wrong", wrong],
      ["right", right],
    ] as const) {
      const data = { ".dockerconfigjson": Buffer.from(text).toString("base64") };
      await edge.configure("secret", name, { kind: "Secret", metadata: { name }, data });
    }
    const imagePullSecrets = [{ name: "wrong" }, { name: "right" }];
    const pod = podOf("two", { imagePullSecrets, containers: [shell(image, idle)] });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    expect(edge.reasons()).not.toContain("Failed");
  });

  test("a pod without credentials waits in ImagePullBackOff", async () => {
    await using world = await edgedWorld(owner);
    const { edge } = world;
    const pod = podOf("none", { containers: [shell(push("team/none:1"), idle)] });
    await edge.apply(pod);
    const waiting = () => edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.state?.waiting;
    await edge.until("backing off", () => waiting()?.reason === "ImagePullBackOff");
    const reasons = edge.events.map(({ reason, message }) => `${reason} ${message}`);
    expect(
      reasons.some((text) => /^Failed Failed to pull image .*no basic auth credentials/.test(text)),
    ).toBe(true);
  });

  test("credentials of the node's file are used, by path, and read again when they change", async () => {
    using dir = tempDir("auth");
    const authFile = join(dir.path, "config.json");
    writeFileSync(authFile, "not json");
    const images = { pulls: { ...pulls, authFile }, gc, archiveDir: undefined };
    await using world = await edgedWorld(owner, { images });
    const { edge } = world;
    const image = push("node/file:1");
    const pod = podOf("file", { containers: [shell(image, idle)] });
    await edge.apply(pod);
    const failed = (): boolean => edge.reasons().includes("Failed");
    await edge.until("failed", failed);
    expect(edge.log.lines.join("\n")).toContain("cannot use edged.registry-auth-file");
    writeFileSync(authFile, dockerConfig(`${registry.host}/node`, user));
    const later = podOf("later", { containers: [shell(image, idle)] });
    await edge.apply(later);
    await edge.until("running", () => isRunning(edge, later));
  });

  test("mirrors are tried in their order, and the image has the name that was wanted", async () => {
    await using mirror = await startRegistry();
    mirror.push(local, "hub/tools/web:7");
    const mirrors = {
      "registry.invalid": [`http://127.0.0.1:${await freePort()}`, `https://${mirror.host}/hub/`],
    };
    const images = { pulls: { ...pulls, mirrors }, gc, archiveDir: undefined };
    await using world = await edgedWorld(owner, { images });
    const { edge } = world;
    const image = "registry.invalid/tools/web:7";
    names.add(image);
    const pod = podOf("mirrored", { containers: [shell(image, idle)] });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    const listed = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split("\n");
    expect(listed.filter((name) => name.endsWith("tools/web:7"))).toEqual([image]);
    expect(edge.log.lines.filter((line) => line.includes("image not pulled from mirror"))).toHaveLength(1);
  });

  test("an image wanted by digest is run from a mirror", async () => {
    await using mirror = await startRegistry();
    const pushed = mirror.push(local, "tools/by-digest:1");
    docker("pull", "-q", pushed);
    const digest = docker("inspect", "--format", "{{index .RepoDigests 0}}", pushed).split("@")[1] ?? "";
    docker("rmi", pushed);
    const mirrors = { "registry.invalid": [`http://${mirror.host}`] };
    const images = { pulls: { ...pulls, mirrors }, gc, archiveDir: undefined };
    await using world = await edgedWorld(owner, { images });
    const { edge } = world;
    const image = `registry.invalid/tools/by-digest@${digest}`;
    const pod = podOf("digest", { containers: [shell(image, idle)] });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    expect(edge.status(pod.metadata.uid ?? "")?.containerStatuses?.[0]?.image).toBe(image);
    names.add(`${mirror.host}/tools/by-digest@${digest}`);
  });

  test("the registry itself is asked when no mirror has the image", async () => {
    await using mirror = await startRegistry();
    const image = push("own/only:1");
    const mirrors = { [registry.host]: [`http://${mirror.host}`] };
    using dir = tempDir("auth");
    const authFile = join(dir.path, "config.json");
    writeFileSync(authFile, dockerConfig(registry.host, user));
    const images = { pulls: { ...pulls, mirrors, authFile }, gc, archiveDir: undefined };
    await using world = await edgedWorld(owner, { images });
    const { edge } = world;
    const pod = podOf("own", { containers: [shell(image, idle)] });
    await edge.apply(pod);
    await edge.until("running", () => isRunning(edge, pod));
    expect(await mirror.requests()).toContain("/v2/own/only/manifests/1");
  });
});
