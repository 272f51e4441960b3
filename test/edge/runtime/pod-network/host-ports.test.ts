import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findTakenPort } from "#edge/runtime/pod-network";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const head =
  "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const line = (local: string, state: string): string =>
  `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 18 1\n`;

/** As the kernel of x64 prints them. */
const files = {
  tcp: line("0100007F:1F90", "0A") + line("0F02000A:01BB", "0A") + line("0F02000A:1388", "01"),
  tcp6: line("00000000000000000000000000000000:0050", "0A"),
  udp: line("00000000:14E9", "07"),
  udp6: "",
};

interface Case {
  readonly protocol: "tcp" | "udp";
  readonly hostPort: number;
  readonly hostIp: string;
}

test.each<[string, boolean, Case]>([
  ["a port of the same address", true, { protocol: "tcp", hostPort: 8080, hostIp: "127.0.0.1" }],
  ["a port of one address, wanted at all", true, { protocol: "tcp", hostPort: 443, hostIp: "0.0.0.0" }],
  [
    "a port of one address, wanted at all by an empty text",
    true,
    { protocol: "tcp", hostPort: 443, hostIp: "" },
  ],
  ["a port of another address", false, { protocol: "tcp", hostPort: 443, hostIp: "127.0.0.1" }],
  [
    "a port of all addresses of IPv6, which are those of IPv4 too",
    true,
    { protocol: "tcp", hostPort: 80, hostIp: "10.0.2.15" },
  ],
  ["the port of a connection", false, { protocol: "tcp", hostPort: 5000, hostIp: "0.0.0.0" }],
  ["a port of UDP", true, { protocol: "udp", hostPort: 5353, hostIp: "0.0.0.0" }],
  ["a port of the other protocol", false, { protocol: "tcp", hostPort: 5353, hostIp: "0.0.0.0" }],
  ["a port that nobody has", false, { protocol: "tcp", hostPort: 9999, hostIp: "0.0.0.0" }],
])("%s is taken as the kernel says: %p", (_what, isTaken, port) => {
  using dir = tempDir("proc");
  mkdirSync(join(dir.path, "net"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir.path, "net", name), head + text);
  expect(findTakenPort([port], dir.path)).toEqual(isTaken ? port : undefined);
});

test("a real listener is found, by TCP and by UDP, and gone when it ends", async () => {
  const program = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const socket = await Bun.udpSocket({ hostname: "127.0.0.1", port: 0 });
  const ports = [
    { protocol: "tcp", hostPort: program.port, hostIp: "0.0.0.0" },
    { protocol: "udp", hostPort: socket.port, hostIp: "127.0.0.1" },
  ] as const;
  const before = ports.map((port) => findTakenPort([port]) !== undefined);
  program.stop(true);
  socket.close();
  expect([before, ports.map((port) => findTakenPort([port]) !== undefined)]).toEqual([
    [true, true],
    [false, false],
  ]);
});
