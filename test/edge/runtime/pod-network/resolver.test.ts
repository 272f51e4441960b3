import { expect, test } from "bun:test";
import { podResolver } from "#internal/edge/runtime/pod-network/resolver.ts";

const plain =
  "# made by hand\nsearch site example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:1 edns0\n";
const local = "nameserver 127.0.0.53\noptions trust-ad\nsearch .\n";
const reader = (files: Readonly<Record<string, string>>) => (path: string) => files[path] ?? "";

test("a pod that names nothing has the resolver of the machine", () => {
  expect(podResolver(undefined, reader({ "/etc/resolv.conf": plain }))).toEqual({
    servers: ["192.0.2.1", "192.0.2.2"],
    searches: ["site", "example"],
    options: ["ndots:1", "edns0"],
  });
});

test("what a pod names replaces that of the machine, field by field", () => {
  const dns = { servers: ["10.96.0.10"], searches: [], options: ["ndots:5"] };
  expect(podResolver(dns, reader({ "/etc/resolv.conf": plain }))).toEqual({
    servers: ["10.96.0.10"],
    searches: ["site", "example"],
    options: ["ndots:5"],
  });
});

test("servers behind the local one of systemd-resolved are asked, as its loopback is not that of the pod", () => {
  const files = { "/etc/resolv.conf": local, "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.9\n" };
  expect(podResolver(undefined, reader(files)).servers).toEqual(["192.0.2.9"]);
  expect(podResolver(undefined, reader({ "/etc/resolv.conf": local })).servers).toEqual([]);
});
