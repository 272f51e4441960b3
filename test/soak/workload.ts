import { demoImage } from "#internal/scripts/engine.ts";

/** Deployments whose pods run, with a ConfigMap as a file, one with sub path, in memory and on the disk. */
export function workloads(count: number, podsEach: number): object[] {
  return Array.from({ length: count }, (_, at) => [
    configMap(`app-${at}`, 0),
    deployment(`app-${at}`, podsEach),
  ]).flat();
}

export function configMap(name: string, version: number): object {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name, namespace: "default" },
    data: { "version.txt": String(version) },
  };
}

function deployment(name: string, replicas: number): object {
  const labels = { app: name, set: "soak" };
  const container = {
    name: "main",
    image: demoImage,
    imagePullPolicy: "IfNotPresent",
    command: [
      "/bin/busybox",
      "sh",
      "-c",
      "trap 'exit 0' TERM; while :; do /bin/busybox sleep 3600 & wait; done",
    ],
    env: [{ name: "ROLLOUT", value: "0" }],
    volumeMounts: [
      { name: "config", mountPath: "/config" },
      { name: "config", mountPath: "/www/version.txt", subPath: "version.txt" },
      { name: "memory", mountPath: "/memory" },
      { name: "disk", mountPath: "/disk" },
    ],
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [container],
          volumes: [
            { name: "config", configMap: { name } },
            { name: "memory", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
            { name: "disk", emptyDir: {} },
          ],
        },
      },
    },
  };
}
