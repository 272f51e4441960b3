import { expect, test } from "bun:test";
import {
  isPlainApiPath,
  headersForApi,
  needsUpgrade,
} from "#internal/cloud/edge-controller/api-proxy/request-rules.ts";

test.each([
  "/api@evil.example/v1/pods",
  "@evil.example/api",
  "http://evil.example/api/v1/pods",
  "/api/v1/%2e/pods",
  "/api/v1/%2E%2e/metrics",
  "/api/v1/pods%00",
  "/api/v1/pods\t",
  "/api/v1/pods%0d%0ax: y",
  "/api/..;/metrics",
  "/apis//evil.example/",
  "/openapi/../debug",
  "/healthz/../metrics",
  "/api/v1/../../metrics",
  "/API/v1/pods",
  "/api\u2215v1",
  "/api?/../../metrics#",
])("the path %p is not passed on to the API", (path) => {
  expect(isPlainApiPath(path)).toBe(false);
});

test("of a node's headers only those are passed on that show no other identity", () => {
  const hostile = [
    "Impersonate-User",
    "impersonate-group",
    "Impersonate-Extra-scopes",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Remote-Extra-a",
    "X-Forwarded-For",
    "X-Forwarded-User",
    "Forwarded",
    "Cookie",
    "Proxy-Authorization",
    "Sec-WebSocket-Protocol",
    "Upgrade",
    "Connection",
    "Transfer-Encoding",
    "Content-Length",
    "Host",
    "X-HTTP-Method-Override",
  ].map((name) => [name, "system:masters"] as const);
  expect([...headersForApi(hostile)]).toEqual([["accept-encoding", "identity"]]);
  const smuggled = [
    ["Authorization", "Basic YTpi"],
    ["authorization", "Bearer\u00a0x"],
  ] as const;
  expect(headersForApi(smuggled).get("authorization")).not.toStartWith("Basic");
});

test.each(["exec", "attach", "portforward"])("%s of a pod is recognized with a query and without", (name) => {
  const path = `/api/v1/namespaces/a/pods/b/${name}`;
  expect([needsUpgrade(path), needsUpgrade(`${path}?command=sh`), needsUpgrade(`${path}s`)]).toEqual([
    true,
    true,
    false,
  ]);
});
