import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { demoImage, makeDemoImage } from "#internal/scripts/engine.ts";
import { eventually, freePorts, run, startService } from "#internal/scripts/service.ts";
import { engineSocket, removeContainers } from "#internal/test/support/machine/container-engine.ts";
import { hasPair } from "#internal/test/support/pair.ts";
import { startTestServer } from "#internal/test/support/cloud/api-server.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const root = resolve(import.meta.dir, "../..");
const cloudcore = [process.execPath, join(root, "cloud/main.ts")];
const edgecore = [process.execPath, join(root, "edge/main.ts")];

/** Ports of a cloudcore, and the file that makes it work on an API that is not its own. */
function cloudConfig(folder: string, kube: string): { file: string; hub: number; https: number } {
  const [hub = 0, https = 0] = freePorts(2);
  const file = join(folder, "controller.yaml");
  const listening = `{ address: 127.0.0.1, port: ${hub}, https-port: ${https}, advertise: [127.0.0.1] }`;
  const access = `{ kube: { ${kube} } }`;
  const dataDir = join(folder, "cloud");
  writeFileSync(
    file,
    `data-dir: ${dataDir}\ncloudhub: ${listening}\ncontroller: ${access}\ntelemetry: { port: 0 }\nrouter: { port: 0 }\ncloudstream: { tunnel-port: 0, stream-port: 0 }\n`,
  );
  return { file, hub, https };
}

test.skipIf(!hasPair())(
  "cloudcore works on the Kubernetes API a kubeconfig names",
  async () => {
    const node = `ext-${crypto.randomUUID().slice(0, 8)}`;
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(tempDir("external"));
    mkdirSync(join(dir.path, "api"));
    const server = stack.use(await startTestServer(join(dir.path, "api")));
    const kubeconfig = join(dir.path, "kubeconfig");
    server.api.writeKubeconfig(kubeconfig);
    const kubectl = (...words: string[]): Promise<string> =>
      run(["kubectl", "--kubeconfig", kubeconfig, ...words]);
    await kubectl("apply", "-f", join(root, "conf/crds"));
    await makeDemoImage(engineSocket);

    const { file, hub, https } = cloudConfig(dir.path, `kubeconfig: ${kubeconfig}`);
    stack.use(startService("cloudcore", [...cloudcore, "--config", file], join(dir.path, "cloud.log")));
    let token = "";
    await eventually(20_000, async () => {
      token = (await run([...cloudcore, "token", "--config", file])).trim();
    });
    const edge = join(dir.path, "edge.yaml");
    writeFileSync(
      edge,
      `data-dir: ${join(dir.path, "edge")}
mqtt: { internal-server: "tcp://127.0.0.1:0" }
edgehub: { server: "127.0.0.1:${hub}", https: "https://127.0.0.1:${https}" }
edged: { hostname-override: ${node}, docker-address: "unix://${engineSocket}", read-only-port: 0, image-gc-high-threshold: 100 }
devicetwin: { query-port: 0, dmi-socket: "" }
meta-server: { port: 0 }
`,
    );
    const place = createHash("sha256").update(join(dir.path, "edge")).digest("hex").slice(0, 12);
    stack.defer(() => removeContainers(`${node}-${place}`));
    const words = [...edgecore, "--config", edge, "--token", token];
    stack.use(startService("edgecore", words, join(dir.path, "edge.log")));
    await eventually(30_000, () => kubectl("wait", "--for=condition=Ready", `node/${node}`, "--timeout=5s"));

    const pod = join(dir.path, "pod.json");
    const containers = [{ name: "a", image: demoImage, command: ["/bin/busybox", "sleep", "1000"] }];
    // No controller of this API makes the ConfigMap with its CA.
    const automountServiceAccountToken = false;
    const spec = {
      nodeName: node,
      terminationGracePeriodSeconds: 1,
      containers,
      automountServiceAccountToken,
    };
    writeFileSync(pod, JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec }));
    await kubectl("apply", "-f", pod);
    await kubectl("wait", "--for=condition=Ready", "pod/p", "--timeout=20s");
    await kubectl("delete", "pod", "p", "--timeout=20s");
    expect(await kubectl("get", "pods", "-o", "name")).toBe("");
  },
  90_000,
);

test.each([
  ["kubeconfig: /nonexistent", 'Cannot use kubeconfig "/nonexistent"'],
  ["kubeconfig: /etc/hostname", 'Cannot use kubeconfig "/etc/hostname"'],
  ["master: nonsense", "controller.kube.master: expected an http(s) URL"],
])("an API that cannot be used is named: %s", async (kube, message) => {
  using dir = tempDir("external");
  const { file } = cloudConfig(dir.path, kube);
  const child = Bun.spawn([...cloudcore, "--config", file], { stdout: "pipe", stderr: "pipe" });
  const [out, problems] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  expect(await child.exited).not.toBe(0);
  expect((out + problems).replaceAll('\\"', '"')).toContain(message);
});
