import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTestServer, type TestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import { needsCommands } from "#internal/test/support/needs.ts";

const available = needsCommands("kubectl");
if (!available) console.log("kubectl is not installed: the suite of kubectl commands is skipped");

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: web, image: "busybox:1", ports: [{ containerPort: 80 }] }] }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: web-conf }
data: { key: one }
`;

describe.skipIf(!available)("kubectl", () => {
  const dir = tempDir("kubectl");
  let server: TestServer;
  const kubeconfig = join(dir.path, "kubeconfig");
  const manifest = join(dir.path, "web.yaml");

  async function kubectl(args: string, env: Record<string, string> = {}): Promise<string> {
    const child = Bun.spawn(["kubectl", "--kubeconfig", kubeconfig, ...args.split(" ")], {
      env: { ...process.env, HOME: dir.path, ...env },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, problems] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    if ((await child.exited) !== 0) throw new Error(`kubectl ${args}: ${problems}`);
    return out.trim();
  }

  beforeAll(async () => {
    server = await startTestServer(dir.path);
    server.api.writeKubeconfig(kubeconfig);
    writeFileSync(manifest, deployment);
    await kubectl(`apply -f ${manifest}`);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  /** The manifest with objects of its own, so that a test may change them. */
  function manifestOf(name: string, change: (text: string) => string = (text) => text): string {
    const path = join(dir.path, `${name}.yaml`);
    writeFileSync(path, change(deployment).replaceAll("name: web", `name: ${name}`));
    return path;
  }

  test("applies the items of a List and still refuses an unknown field in one", async () => {
    const item = (name: string, more: object): object => ({
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name },
      ...more,
    });
    const path = join(dir.path, "list.json");
    const write = (items: object[]): void =>
      writeFileSync(path, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
    write([item("list-a", { data: { key: "a" } }), item("list-b", {})]);
    expect(await kubectl(`apply -f ${path}`)).toBe("configmap/list-a created\nconfigmap/list-b created");
    write([item("list-a", { date: { key: "a" } })]);
    await expect(kubectl(`apply -f ${path}`)).rejects.toThrow('unknown field "date"');
  });

  test("apply prints what changed", async () => {
    expect(await kubectl(`apply -f ${manifest}`)).toBe(
      "deployment.apps/web unchanged\nconfigmap/web-conf unchanged",
    );
    await kubectl(`apply -f ${manifestOf("changing")}`);
    const changed = manifestOf("changing", (text) => text.replace("key: one", "other: two"));
    expect(await kubectl(`apply -f ${changed}`)).toContain("configmap/changing-conf configured");
    expect(await kubectl("get cm changing-conf -o jsonpath={.data}")).toBe('{"other":"two"}');
  });

  test("get prints tables, YAML and selections", async () => {
    expect(await kubectl("get deploy web -o wide")).toMatch(
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/2/,
    );
    expect(await kubectl("get deploy web -o yaml")).toContain("kind: Deployment");
    expect(await kubectl("get deploy -A -l app=web -o name")).toContain("deployment.apps/web");
    expect(await kubectl("get all -l app=none")).toBe("");
  });

  test("create stores the objects of every typed command", async () => {
    expect(await kubectl("create configmap typed --from-literal=a=b")).toBe("configmap/typed created");
    expect(await kubectl("create deployment typed --image=busybox --replicas=0")).toBe(
      "deployment.apps/typed created",
    );
    expect(await kubectl("get deploy typed -o jsonpath={.spec.replicas}")).toBe("0");
    expect(await kubectl("create secret generic typed --from-literal=a=b")).toBe("secret/typed created");
    expect(await kubectl("run typed --image=busybox --env=A=1 --port=80")).toBe("pod/typed created");
    expect(await kubectl("get pod typed -o jsonpath={.spec.containers[0].env}")).toBe(
      '[{"name":"A","value":"1"}]',
    );
  });

  test("scale, set image, label, annotate and patch change the object", async () => {
    await kubectl(`apply -f ${manifestOf("busy")}`);
    await kubectl("scale deploy busy --replicas=3");
    await kubectl("set image deploy/busy busy=busybox:2");
    await kubectl("label deploy busy tier=front");
    await kubectl("annotate deploy busy note=hi");
    await kubectl('patch deploy busy -p {"spec":{"minReadySeconds":1}}');
    const path =
      "{.spec.replicas} {.spec.template.spec.containers[0].image} {.metadata.labels.tier} {.metadata.annotations.note} {.spec.minReadySeconds}";
    const child = Bun.spawn([
      "kubectl",
      "--kubeconfig",
      kubeconfig,
      "get",
      "deploy",
      "busy",
      "-o",
      `jsonpath=${path}`,
    ]);
    expect(await new Response(child.stdout).text()).toBe("3 busybox:2 front hi 1");
  });

  test("edit stores the edited object", async () => {
    const editor = join(dir.path, "editor.sh");
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/before/after/" "$1"\n');
    chmodSync(editor, 0o755);
    await kubectl("create configmap edited --from-literal=a=before");
    await kubectl("edit cm edited", { EDITOR: editor });
    expect(await kubectl("get cm edited -o jsonpath={.data.a}")).toBe("after");
  });

  test("explain, api-resources, auth and describe find what they need", async () => {
    expect(await kubectl("explain deployment.spec.strategy.type")).toContain("RollingUpdate");
    expect(await kubectl("api-resources --namespaced=false -o name")).toContain("nodes");
    expect(await kubectl("auth can-i create pods")).toBe("yes");
    expect(await kubectl("auth whoami")).toContain("kubernetes-admin");
    expect(await kubectl("describe deploy web")).toContain("Replicas:");
  });

  test("server-side apply creates and repeats", async () => {
    const path = manifestOf("served");
    expect(await kubectl(`apply --server-side -f ${path}`)).toContain(
      "configmap/served-conf serverside-applied",
    );
    expect(await kubectl(`apply --server-side -f ${path}`)).toContain(
      "configmap/served-conf serverside-applied",
    );
  });

  test("server-side apply takes over client-side applied fields, and drops omitted ones", async () => {
    const two = (text: string): string =>
      text.replace("containers: [", 'containers: [{ name: b, image: "b:1" }, ');
    await kubectl(`apply -f ${manifestOf("migrated", two)}`);
    await kubectl(`apply --server-side -f ${manifestOf("migrated")}`);
    const names = "jsonpath={.spec.template.spec.containers[*].name}";
    expect(await kubectl(`get deploy migrated -o ${names}`)).toBe("migrated");
  });

  test("a server-side apply of what kubectl applied itself warns of nothing, and shows no difference", async () => {
    const path = manifestOf("tried");
    await kubectl(`apply -f ${path}`);
    for (const words of [
      "apply --server-side --dry-run=server",
      "diff --server-side",
      "apply --server-side",
    ]) {
      const command = ["kubectl", "--kubeconfig", kubeconfig, ...words.split(" "), "-f", path];
      const child = Bun.spawn(command, {
        stdout: "ignore",
        stderr: "pipe",
        env: { ...process.env, HOME: dir.path },
      });
      expect([await new Response(child.stderr).text(), await child.exited]).toEqual(["", 0]);
    }
    const managers = "jsonpath={.metadata.managedFields[*].manager}";
    expect((await kubectl(`get deploy tried -o ${managers}`)).split(" ")).toContain("kubectl");
  });

  test("cordon and drain evict the pods of a node", async () => {
    await kubectl("create ns drained");
    await server.call("POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } });
    await server.call("POST", "/api/v1/namespaces/drained/pods", {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p" },
      spec: { nodeName: "n1", terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: "i" }] },
    });
    await kubectl("cordon n1");
    expect(await kubectl("get node n1")).toContain("SchedulingDisabled");
    await kubectl("drain n1 --force --timeout=20s");
    expect(await kubectl("get pods -n drained -o name")).toBe("");
    await kubectl("uncordon n1");
    expect(await kubectl("get node n1 -o jsonpath={.spec}")).toBe("{}");
  });

  test("apply --server-side goes on with what apply has written, and leaves what others have set", async () => {
    const path = join(dir.path, "moving.json");
    const claim = (labels: object): void =>
      writeFileSync(
        path,
        JSON.stringify({
          apiVersion: "v1",
          kind: "PersistentVolumeClaim",
          metadata: { name: "moving", labels },
          spec: { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Mi" } } },
        }),
      );
    claim({ kept: "a", dropped: "b" });
    await kubectl(`apply -f ${path}`);
    await kubectl('patch pvc moving -p {"metadata":{"finalizers":["example.org/others"]}}');
    await kubectl("label pvc moving others=c");
    const web = manifestOf("moved", (text) => text.replace("replicas: 2", "minReadySeconds: 0"));
    await kubectl(`apply -f ${web}`);
    await kubectl("scale deployment moved --replicas=3");
    claim({ kept: "a" });
    await kubectl(`apply --server-side -f ${path} -f ${web}`);
    expect(JSON.parse(await kubectl("get pvc moving -o json"))).toMatchObject({
      metadata: {
        labels: { kept: "a", others: "c" },
        finalizers: expect.arrayContaining(["kubernetes.io/pvc-protection", "example.org/others"]),
      },
      spec: { volumeMode: "Filesystem" },
    });
    expect(await kubectl("get pvc moving -o jsonpath={.metadata.labels.dropped}")).toBe("");
    expect(await kubectl("get deployment moved -o jsonpath={.spec.replicas}")).toBe("3");
    await kubectl('patch pvc moving -p {"metadata":{"finalizers":null}}');
  }, 60_000);

  test("wait returns when the object is deleted", async () => {
    await kubectl("create configmap leaving");
    const waiting = kubectl("wait --for=delete cm/leaving --timeout=20s");
    await kubectl("delete cm leaving");
    await waiting;
    expect(await kubectl("get cm leaving --ignore-not-found")).toBe("");
  });

  test("get -w prints changes as they come", async () => {
    await kubectl("create configmap watched");
    const child = Bun.spawn(
      ["kubectl", "--kubeconfig", kubeconfig, "get", "cm", "-w", "--field-selector=metadata.name=watched"],
      { stdout: "pipe", env: { ...process.env, HOME: dir.path } },
    );
    let text = "";
    let patched = false;
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk);
      if (text.includes("watched   0") && !patched) {
        patched = true;
        await kubectl('patch cm watched -p {"data":{"a":"b"}}');
      }
      if (text.includes("watched   1")) break;
    }
    child.kill();
    await child.exited;
    expect(text.match(/^NAME/gm)?.length).toBe(1);
  });
});
