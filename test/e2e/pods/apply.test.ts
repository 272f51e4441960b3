import { expect, test } from "bun:test";
import { demoImage } from "#internal/scripts/engine.ts";
import { freePorts } from "#internal/scripts/service.ts";
import { deployment, hasPair, measure, startPair, until } from "#internal/test/support/pair.ts";

function web(hostPort: number): Record<string, unknown> {
  return deployment("web", {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: "pages", configMap: { name: "web" } }],
    containers: [
      {
        name: "httpd",
        image: demoImage,
        imagePullPolicy: "IfNotPresent",
        command: ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"],
        env: [{ name: "GREETING", valueFrom: { secretKeyRef: { name: "web", key: "greeting" } } }],
        ports: [{ containerPort: 8080, hostPort }],
        volumeMounts: [{ name: "pages", mountPath: "/www" }],
      },
    ],
  });
}

function pages(text: string): Record<string, unknown> {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "web" }, data: { "index.html": text } };
}

test.skipIf(!hasPair())(
  "a Deployment serves its page, follows its ConfigMap and leaves nothing when deleted",
  async () => {
    await using pair = await startPair();
    const [port = 0] = freePorts(1);
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "web" },
      stringData: { greeting: "hello" },
    };
    const shows = (text: string): Promise<void> =>
      until(15_000, async () => {
        const page = await (await fetch(`http://127.0.0.1:${port}/`)).text();
        return page === text || `the page is ${page}`;
      });

    await pair.apply(pages("one"), secret, web(port));
    const available = await measure(
      pair.kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s"),
    );
    await shows("one");
    await pair.apply(pages("two"));
    const followed = await measure(shows("two"));
    await pair.kubectl("delete", "deployment/web", "configmap/web", "secret/web", "--timeout=30s");
    const removed = await measure(
      until(20_000, () => pair.containers().length === 0 || "containers are left"),
    );
    await until(10_000, () => {
      const left = pair.rows("SELECT key FROM meta WHERE key LIKE '%web%'");
      return left.length === 0 || `the edge still stores ${left.join(" ")}`;
    });
    await pair.outboxEmpty();
    console.log(
      `Available after ${ms(available)}, ConfigMap followed in ${ms(followed)}, containers gone ${ms(removed)} after delete`,
    );
    expect(pair.edgeRuns).toBe(true);
  },
  60_000,
);

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}
