import { expect, test } from "bun:test";
import { meetCloud } from "#internal/edge/edge-hub/trust/meeting.ts";

const known = { name: "a", other: null, heldSince: null };
const held = { name: "a", other: "b", heldSince: 5 };

test("a cloud is accepted when it is the first to name its database", () => {
  expect(meetCloud(undefined, "a", 9)).toEqual({ held: false, record: known });
});

test("a cloud is accepted when it has the database the node knows", () => {
  expect(meetCloud(known, "a", 9)).toEqual({ held: false });
});

test("a cloud is accepted as before when it names no database, as KubeEdge's does", () => {
  expect(meetCloud(known, undefined, 9)).toEqual({ held: false });
  expect(meetCloud(held, undefined, 9)).toEqual({ held: false });
});

test("a cloud is held back when it has another database than before", () => {
  expect(meetCloud(known, "b", 9)).toEqual({ held: true, record: { name: "a", other: "b", heldSince: 9 } });
});

test("a cloud stays held back, since it was first met, when it connects again", () => {
  expect(meetCloud(held, "b", 9)).toEqual({ held: true });
});

test("a cloud that has its database back is accepted again", () => {
  expect(meetCloud(held, "a", 9)).toEqual({ held: false, record: { ...held, heldSince: null } });
});

test("a third database is held back from the time it is met", () => {
  expect(meetCloud(held, "c", 9)).toEqual({ held: true, record: { name: "a", other: "c", heldSince: 9 } });
});
