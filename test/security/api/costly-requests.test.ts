import { afterAll, beforeAll, expect, test } from "bun:test";
import { startAttackedCloud, type AttackedCloud } from "#internal/test/support/cloud/attacked-cloud.ts";
import { bodyAttacks } from "./attacks/on-bodies.ts";
import { patchAttacks, selectorAttacks } from "./attacks/on-patches.ts";
import { schemaAttacks } from "./attacks/on-schemas.ts";

/** Each took more than ten seconds or a gigabyte once, or stands beside one that did; the machine may be busy with others. */
const mostMs = 8000;
const mostMb = 600;

const attacks = [...patchAttacks, ...selectorAttacks, ...schemaAttacks, ...bodyAttacks];
let cloud: AttackedCloud;

beforeAll(async () => {
  cloud = await startAttackedCloud();
});
afterAll(() => cloud[Symbol.asyncDispose]());

test.each(attacks.map((attack) => [attack.name, attack] as const))(
  "the API answers others when it is sent %s",
  async (_name, attack) => {
    await attack.prepare?.(cloud);
    let status = 0;
    const { slowestMs, grewMb } = await cloud.suffer(async () => {
      ({ status } = await attack.run(cloud));
    });
    expect(attack.answers).toContain(status);
    expect({ slowest: Math.max(slowestMs, mostMs), grew: Math.max(grewMb, mostMb) }).toEqual({
      slowest: mostMs,
      grew: mostMb,
    });
  },
  30_000,
);
