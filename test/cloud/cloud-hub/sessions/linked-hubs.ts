import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { clientPair, startHarness, type Harness } from "#internal/test/cloud/cloud-hub/hub-harness.ts";
import { configOf, eventually, startEdge, type HubWorld } from "#internal/test/edge/edge-hub/hub-harness.ts";
import { startCutProxy, type CutProxy } from "#internal/test/support/machine/cut-proxy.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** cloudhub and edgehub as they are, with a link that can be cut. */
export interface LinkedHubs extends AsyncDisposable {
  readonly cloud: Harness;
  readonly edge: HubWorld;
  readonly link: CutProxy;
  /** Waits until the link has come up so many times. */
  readonly up: (count: number) => Promise<void>;
}

export async function startLinked(
  config: {
    readonly keepaliveMs?: number;
    readonly heartbeatMs?: number;
    /** of the link */
    readonly bytesPerSecond?: number;
    readonly database?: string;
    readonly rules?: boolean;
  } = {},
): Promise<LinkedHubs> {
  await using stack = new AsyncDisposableStack();
  const { bytesPerSecond, keepaliveMs = 30_000, heartbeatMs = 15_000, database, rules = false } = config;
  const cloud = stack.use(await startHarness({ keepaliveMs, database, rules }));
  const link = stack.use(await startCutProxy(cloud.hub.port, bytesPerSecond));
  const dir = stack.use(tempDir("stream-link"));
  const { cert, key } = await clientPair(cloud.authority, "system:node:edge-1");
  const [caFile, certFile, keyFile] = ["ca.crt", "edge.crt", "edge.key"].map((name) => join(dir.path, name));
  writeFileSync(caFile ?? "", cloud.authority.certPem);
  writeFileSync(certFile ?? "", cert);
  writeFileSync(keyFile ?? "", key, { mode: 0o600 });
  const base = configOf(dir.path, link.port, undefined);
  const edge = stack.use(
    await startEdge({ ...base, edgeHub: { ...base.edgeHub, caFile, certFile, keyFile, heartbeatMs } }),
  );
  const up = async (count: number): Promise<void> => {
    await cloud.until((events) => events.filter(({ topic }) => topic === "connected").length === count);
    const ups = (): number => edge.log.lines.filter((line) => line.includes("to the cloud is up")).length;
    await eventually("the link", () => ups() === count);
  };
  await up(1);
  const owned = stack.move();
  return { cloud, edge, link, up, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
