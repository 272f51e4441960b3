import { expect, test } from "bun:test";
import { readFileSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { writeHostsFile } from "#internal/edge/edged/volumes/hosts-file.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";
import type { Pod, PodSpec } from "#shared/kube";

const facts = { hostname: "web-0", domain: "cluster.local", podIps: ["10.0.0.2"] };

function podOf(spec: Partial<PodSpec> = {}): Pod {
  return { metadata: { name: "web-0", namespace: "shop", uid: "u" }, spec: { containers: [], ...spec } };
}

function written(pod: Pod): string[] {
  using dir = tempDir("hosts");
  return readFileSync(writeHostsFile(dir.path, pod, facts), "utf8").split("\n");
}

test("the hosts file of a pod begins with what marks it as the pod's own, and names the pod", () => {
  expect(written(podOf())).toEqual([
    "# Kubernetes-managed hosts file.",
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "fe00::0\tip6-mcastprefix",
    "fe00::1\tip6-allnodes",
    "fe00::2\tip6-allrouters",
    "10.0.0.2\tweb-0",
    "",
  ]);
});

test("the hosts file has the full name of a pod with a subdomain, and host aliases", () => {
  const hostAliases = [{ ip: "192.0.2.9", hostnames: ["db", "cache"] }];
  expect(written(podOf({ subdomain: "web", hostAliases })).slice(-5)).toEqual([
    "10.0.0.2\tweb-0.web.shop.svc.cluster.local\tweb-0",
    "",
    "# Entries added by HostAliases.",
    "192.0.2.9\tdb\tcache",
    "",
  ]);
});

test("a pod in the network of the host has the entries of the host", () => {
  const [mark, ...lines] = written(podOf({ hostNetwork: true }));
  expect(mark).toBe("# Kubernetes-managed hosts file (host network).");
  expect(lines.join("\n").trimEnd()).toBe(readFileSync("/etc/hosts", "utf8").trimEnd());
});

test("the hosts file is written in place, readable by everybody, and through no link", () => {
  using dir = tempDir("hosts");
  const path = writeHostsFile(dir.path, podOf(), facts);
  const { ino } = statSync(path);
  writeHostsFile(dir.path, podOf(), { ...facts, podIps: ["10.0.0.3"] });
  expect([statSync(path).ino, statSync(path).mode & 0o777]).toEqual([ino, 0o644]);
  expect(readFileSync(path, "utf8")).toContain("10.0.0.3\tweb-0\n");
  using other = tempDir("hosts");
  symlinkSync(path, join(other.path, "etc-hosts"));
  expect(() => writeHostsFile(other.path, podOf(), facts)).toThrow("ELOOP");
});
