import { expect, test } from "bun:test";
import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { engineSocket } from "#internal/test/support/machine/container-engine.ts";
import { hasPair, measure, startCloudSide, until, type Pair } from "#internal/test/support/pair.ts";

function logged(pair: Pair, text: string): Promise<void> {
  return until(15_000, () => pair.edgeLog().includes(text) || `edgecore logged\n${pair.edgeLog()}`);
}

/** One digit of the pinned CA, or one letter of the signature, is another. */
function spoilt(token: string, at: "pin" | "signature"): string {
  const place = at === "pin" ? 0 : token.length - 10;
  return `${token.slice(0, place)}${token[place] === "0" ? "1" : "0"}${token.slice(place + 1)}`;
}

for (const [wrong, text] of [
  ["pin", "has another CA"],
  ["signature", "/edge.crt answers 401"],
] as const) {
  test.skipIf(!hasPair())(
    `edgecore names the trouble and stays offline when the ${wrong} of its token is wrong`,
    async () => {
      await using pair = await startCloudSide();
      await pair.startEdge({ token: spoilt(await pair.token(), wrong) });
      await logged(pair, text);
      expect(pair.edgeRuns).toBe(true);
      await pair.killEdge();
      await pair.startEdge();
      await pair.ready();
    },
    60_000,
  );
}

test.skipIf(!hasPair())(
  "a node without a container engine is not Ready until the engine comes",
  async () => {
    await using pair = await startCloudSide();
    const socket = join(pair.edgeDir, "../engine.sock");
    await pair.startEdge({ dockerSocket: socket });
    await until(15_000, async () => {
      const path = 'jsonpath={.status.conditions[?(@.type=="Ready")]}';
      const ready = await pair.kubectl("get", "node", pair.node, "-o", path).catch(String);
      return (ready.includes('"status":"False"') && ready.includes("engine.sock")) || ready;
    });
    symlinkSync(engineSocket, socket);
    console.log(`Ready ${Math.round(await measure(pair.ready()))} ms after the engine came`);
  },
  60_000,
);
