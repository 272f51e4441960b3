import { expect, test } from "bun:test";
import { Access, type ClientIdentity } from "#edge/mqtt/access";
import { rule, users } from "./rules.ts";

const anonymous: ClientIdentity = { user: undefined, clientId: "d1" };
const d1: ClientIdentity = { user: "d1", clientId: "anything" };
const ownTopic = "$hw/events/device/d1/twin/update";

test("access lets an authenticated device publish its topics, and no client by its id alone", () => {
  const access = new Access({ anonymous: true, users, acl: [rule("public/#", "readwrite")] });
  expect({
    itself: access.mayPublish(d1, ownTopic),
    twoLevels: access.mayPublish(
      { user: "default/d1", clientId: "" },
      "$hw/events/device/default/d1/twin/update",
    ),
    byNamespace: access.mayPublish(d1, "$hw/events/device/default/d1/twin/update"),
    receives: access.mayReceive(d1, "$hw/events/device/default/d1/twin/update/result"),
    elsewhere: access.mayPublish(d1, "$hw/events/device/lab/d1/twin/update"),
    other: access.mayPublish(d1, "$hw/events/device/d2/twin/update"),
    longer: access.mayPublish(d1, "$hw/events/device/d10/twin/update"),
    ofNamespace: access.mayPublish(
      { user: "default", clientId: "" },
      "$hw/events/device/default/d1/twin/update",
    ),
    claimed: access.mayPublish(anonymous, ownTopic),
    public: access.mayPublish(anonymous, "public/x"),
    private: access.mayPublish(anonymous, "private/x"),
  }).toEqual({
    itself: true,
    twoLevels: true,
    byNamespace: true,
    receives: true,
    elsewhere: false,
    other: false,
    longer: false,
    ofNamespace: false,
    claimed: false,
    public: true,
    private: false,
  });
});

test("access authenticates a user only by password or certificate", async () => {
  const open = { anonymous: true, users: [], acl: [] };
  const closed = { anonymous: false, users, acl: [] };
  const password = Buffer.from("secret");
  const none = { user: undefined, password: undefined, certificateName: undefined };
  const attempt = { address: "::1", isClosed: () => false };
  expect([
    await new Access(open).admit({ ...none, user: "admin", password }, attempt),
    await new Access(closed).admit({ ...none, user: "admin", password }, attempt),
    await new Access(closed).admit({ ...none, user: "admin", password }, attempt),
    await new Access(closed).admit({ ...none, user: "admin", password: Buffer.from("wrong") }, attempt),
    await new Access(closed).admit({ ...none, certificateName: "d7" }, attempt),
    await new Access(closed).admit(none, attempt),
  ]).toEqual([
    { ok: true, user: undefined },
    { ok: true, user: "admin" },
    { ok: true, user: "admin" },
    { ok: false, problem: "wrong password" },
    { ok: true, user: "d7" },
    { ok: false, problem: "no user name" },
  ]);
});

test("access matches no $ topic with a leading wildcard, and no rule whose placeholder has no value", () => {
  const acl = [rule("#", "readwrite", "admin"), rule("users/%u/#", "readwrite"), rule("clients/%c", "write")];
  const access = new Access({ anonymous: true, users, acl });
  const admin: ClientIdentity = { user: "admin", clientId: "a/+/b" };
  expect({
    all: access.maySubscribe(admin, "#"),
    devices: access.mayPublish(admin, ownTopic),
    mine: access.mayPublish(d1, "users/d1/x"),
    unproven: access.mayPublish(anonymous, "users//x"),
    client: access.mayPublish(anonymous, "clients/d1"),
    widened: access.mayPublish({ user: undefined, clientId: "+" }, "clients/other"),
  }).toEqual({ all: true, devices: false, mine: true, unproven: false, client: true, widened: false });
});
