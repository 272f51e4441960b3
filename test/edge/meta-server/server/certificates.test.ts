import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "bun:test";
import {
  CertificateSource,
  ensureServerCertificates,
} from "#internal/edge/meta-server/server/certificates.ts";
import { isSignedBy, readCertificate } from "#shared/pki";
import { tempDir } from "#internal/test/support/temp-dir.ts";

const unexpected = (path: string): never => {
  throw new Error(`cannot write ${path}`);
};
const ensure = (path: string, wanted: readonly string[], atMs: number) =>
  ensureServerCertificates(path, wanted, { nowMs: atMs, onUnwritten: unexpected });
const dayMs = 86_400_000;
const nowMs = Date.parse("2026-06-01T00:00:00Z");
const hosts = ["127.0.0.1", "localhost", "::1"];

test("certificates are made once, for the hosts, and only their owner reads the keys", async () => {
  using dir = tempDir("certificates");
  const first = await ensure(dir.path, hosts, nowMs);
  expect(await ensure(dir.path, hosts, nowMs + dayMs)).toEqual(first);
  expect(isSignedBy(first.cert, first.caPem)).toBe(true);
  for (const file of ["ca.key", "server.key"])
    expect(statSync(join(dir.path, "meta-server", file)).mode & 0o777).toBe(0o600);
});

test.each([
  ["ends within a month", nowMs + 340 * dayMs, hosts],
  ["lacks a host", nowMs, [...hosts, "172.17.0.1"]],
  ["is not valid yet, after the clock was ahead", nowMs - 900 * dayMs, hosts],
])("a certificate that %s is made again", async (_why, laterMs, wanted) => {
  using dir = tempDir("certificates");
  const first = await ensure(dir.path, hosts, nowMs);
  const second = await ensure(dir.path, wanted, laterMs);
  expect(second.cert).not.toBe(first.cert);
  expect(isSignedBy(second.cert, second.caPem)).toBe(true);
  const { notBeforeMs, notAfterMs } = readCertificate(second.cert);
  expect([notBeforeMs <= laterMs, notAfterMs > laterMs + 30 * dayMs]).toEqual([true, true]);
});

test.each(["ca.crt", "ca.key", "server.crt", "server.key"])("a damaged %s is replaced", async (file) => {
  using dir = tempDir("certificates");
  await ensure(dir.path, hosts, nowMs);
  writeFileSync(join(dir.path, "meta-server", file), "damaged");
  const { cert, caPem } = await ensure(dir.path, hosts, nowMs);
  expect(isSignedBy(cert, caPem)).toBe(true);
});

test("certificates that cannot be written are used all the same, and made once a run", async () => {
  const unwritten: string[] = [];
  const onUnwritten = (path: string): void => void unwritten.push(path);
  const source = new CertificateSource("/proc/nowhere", { nowMs: () => nowMs, onUnwritten });
  const made = await source.ensure(hosts);
  expect(isSignedBy(made.cert, made.caPem)).toBe(true);
  expect([await source.ensure(hosts), unwritten.length]).toEqual([made, 4]);
});
