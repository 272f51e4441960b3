import { expect, test } from "bun:test";
import { startApp, startBus, type CloudRequest } from "./bus-harness.ts";

test.each<[string, Partial<CloudRequest>]>([
  ["a path to another host", { path: "@evil.example/" }],
  ["a path with dots", { path: "/api/../admin" }],
  ["a path with escaped dots", { path: "/api/%2e%2E/admin" }],
  ["a path with a backslash", { path: "/api\\..\\admin" }],
  ["a path with a line end", { path: "/a HTTP/1.1\r\nx: y" }],
  ["a path with a zero byte", { path: "/a\u0000" }],
  ["a header with a line end", { headers: [["x-a", "1\r\nx-b: 2"]] }],
  ["a header name with a space", { headers: [["x a", "1"]] }],
  [
    "two lengths",
    {
      method: "POST",
      headers: [
        ["content-length", "4"],
        ["content-length", "44"],
      ],
    },
  ],
  ["a length that is none", { method: "POST", headers: [["content-length", "+4"]] }],
  [
    "a length and an encoding",
    {
      method: "POST",
      headers: [
        ["content-length", "4"],
        ["transfer-encoding", "chunked"],
      ],
    },
  ],
])("%s never reaches a server", async (_name, request) => {
  let calls = 0;
  using app = startApp(() => {
    calls += 1;
    return new Response("ok");
  });
  await using bus = await startBus({ allowedPorts: [app.port] });
  const outcome = await bus.request({ port: app.port, ...request }).then(
    ({ status }) => status,
    () => "reset",
  );
  expect([[400, "reset"].includes(outcome), calls]).toEqual([true, 0]);
});

test("a path with two slashes in front stays a path", async () => {
  using app = startApp((request) => new Response(new URL(request.url).pathname));
  await using bus = await startBus({ allowedPorts: [app.port] });
  const response = await bus.request({ port: app.port, path: "//evil.example/a" });
  expect(await response.text()).toEndWith("/evil.example/a");
});

test("a redirect is passed on and not followed", async () => {
  let calls = 0;
  using other = startApp(() => {
    calls += 1;
    return new Response("secret");
  });
  using app = startApp(() => Response.redirect(`http://127.0.0.1:${other.port}/`, 302));
  await using bus = await startBus({ allowedPorts: [app.port] });
  expect([(await bus.request({ port: app.port })).status, calls]).toEqual([302, 0]);
});
