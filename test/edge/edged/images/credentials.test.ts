import { expect, test } from "bun:test";
import { findCredentials } from "#internal/edge/edged/images/credentials.ts";
import { parseReference } from "#shared/image-names";

const encoded = (text: string): string => Buffer.from(text).toString("base64");

/** User names found for an image, when each server of a docker config has one named after it. */
function usersFor(image: string, ...servers: string[]): (string | undefined)[] {
  const auths = Object.fromEntries(servers.map((server) => [server, { auth: encoded(`${server}:p`) }]));
  return findCredentials(image, [JSON.stringify({ auths })]).map(({ serveraddress }) => serveraddress);
}

test("a reference is completed as Docker does it", () => {
  const refs = [
    "nginx",
    "a/b:1",
    "ghcr.io/a/b@sha256:00",
    "localhost/x",
    "reg:5000/x:2",
    "index.docker.io/a/b",
  ];
  expect(refs.map((ref) => Object.values(parseReference(ref)).join(" "))).toEqual([
    "docker.io library/nginx :latest",
    "docker.io a/b :1",
    "ghcr.io a/b @sha256:00",
    "localhost x :latest",
    "reg:5000 x :2",
    "docker.io a/b :latest",
  ]);
});

test("user and password come from auth, the fields of their own, or a .dockercfg", () => {
  const auth = encoded("me:se:cret");
  const texts = [
    JSON.stringify({ auths: { "ghcr.io": { auth } } }),
    JSON.stringify({ "ghcr.io": { username: "you", password: "p" } }),
    "no json",
  ];
  expect(findCredentials("ghcr.io/a/b", texts)).toEqual([
    { username: "me", password: "se:cret", serveraddress: "ghcr.io" },
    { username: "you", password: "p", serveraddress: "ghcr.io" },
  ]);
});

// From the tables of kubelet's keyring_test.go and the page "Images" of Kubernetes.
test.each([
  ["*.kubernetes.io/a", "abc.kubernetes.io/a/b", true],
  ["*.kubernetes.io", "kubernetes.io/a", false],
  ["*.*.kubernetes.io", "abc.kubernetes.io/a", false],
  ["*.*.kubernetes.io", "prefix.abc.kubernetes.io/a", true],
  ["prefix.*.io", "prefix.kubernetes.io/a", true],
  ["*-good.kubernetes.io", "prefix-good.kubernetes.io/a", true],
  ["*.kubernetes.io:5000", "abc.kubernetes.io/a", false],
  ["*.kubernetes.io:5000", "abc.kubernetes.io:5000/a", true],
  ["reg.example/images", "reg.example/images/web:1", true],
  ["reg.example/images", "reg.example/other/web:1", false],
  ["https://reg.example/v1/", "reg.example/web", true],
  ["https://reg.example/v2/images", "reg.example/images/web", true],
  ["http://reg.example", "reg.example/web", true],
  ["https://index.docker.io/v1/", "nginx", true],
  ["docker.io", "nginx", true],
  ["docker.io/library", "nginx", true],
  ["https://index.docker.io/v1/", "quay.io/nginx", false],
  ["reg.example.evil", "reg.example/web", false],
  ["r.g.example", "reg.example/web", false],
  ["r?g.example", "reg.example/web", true],
  ["r*g*.e*e", "reg.example/web", true],
  ["*r*x.example", "reg.example/web", false],
  ["reg*.example", "reg.example/web", true],
])("credentials for %p and the image %p: %p", (server, image, isFound) => {
  expect(usersFor(image, server)).toEqual(isFound ? [server] : []);
});

test("those of the longer path come first, and Docker Hub's only when no other are found", () => {
  expect([
    usersFor("reg.example/a/b:1", "reg.example", "reg.example/a", "*.example", "reg.example/c"),
    usersFor("a/b", "https://index.docker.io/v1/", "docker.io/a"),
  ]).toEqual([["reg.example/a", "reg.example", "*.example"], ["docker.io/a"]]);
});

test("a pattern made to be slow is judged at once", () => {
  const since = performance.now();
  const label = "a".repeat(60);
  expect(usersFor(`${label}.example/web`, `${"*a".repeat(500)}b.example`)).toEqual([]);
  expect(performance.now() - since).toBeLessThan(200);
});
