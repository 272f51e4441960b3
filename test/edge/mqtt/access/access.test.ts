import { expect, test } from "bun:test";
import { Access, type ClientIdentity } from "#edge/mqtt/access";
import { rule, users } from "./rules.ts";

const nobody: ClientIdentity = { user: undefined, clientId: "d1" };
const d1: ClientIdentity = { user: "d1", clientId: "anything" };
const own = "$hw/events/device/d1/twin/update";

test("access lets a device publish as itself, and nobody by a client id alone", () => {
  const access = new Access({ anonymous: true, users, acl: [rule("public/#", "readwrite")] });
  expect({
    itself: access.mayPublish(d1, own),
    twoLevels: access.mayPublish(
      { user: "default/d1", clientId: "" },
      "$hw/events/device/default/d1/twin/update",
    ),
    byNamespace: access.mayPublish(d1, "$hw/events/device/default/d1/twin/update"),
    hears: access.mayReceive(d1, "$hw/events/device/default/d1/twin/update/result"),
    elsewhere: access.mayPublish(d1, "$hw/events/device/lab/d1/twin/update"),
    other: access.mayPublish(d1, "$hw/events/device/d2/twin/update"),
    longer: access.mayPublish(d1, "$hw/events/device/d10/twin/update"),
    ofNamespace: access.mayPublish(
      { user: "default", clientId: "" },
      "$hw/events/device/default/d1/twin/update",
    ),
    claimed: access.mayPublish(nobody, own),
    public: access.mayPublish(nobody, "public/x"),
    private: access.mayPublish(nobody, "private/x"),
  }).toEqual({
    itself: true,
    twoLevels: true,
    byNamespace: true,
    hears: true,
    elsewhere: false,
    other: false,
    longer: false,
    ofNamespace: false,
    claimed: false,
    public: true,
    private: false,
  });
});

test("access takes a name for proven only with its password or a certificate", async () => {
  const open = { anonymous: true, users: [], acl: [] };
  const closed = { anonymous: false, users, acl: [] };
  const password = Buffer.from("secret");
  const none = { user: undefined, password: undefined, certificateName: undefined };
  const visitor = { address: "::1", isGone: () => false };
  expect([
    await new Access(open).admit({ ...none, user: "admin", password }, visitor),
    await new Access(closed).admit({ ...none, user: "admin", password }, visitor),
    await new Access(closed).admit({ ...none, user: "admin", password }, visitor),
    await new Access(closed).admit({ ...none, user: "admin", password: Buffer.from("wrong") }, visitor),
    await new Access(closed).admit({ ...none, certificateName: "d7" }, visitor),
    await new Access(closed).admit(none, visitor),
  ]).toEqual([
    { ok: true, user: undefined },
    { ok: true, user: "admin" },
    { ok: true, user: "admin" },
    { ok: false, problem: "wrong password" },
    { ok: true, user: "d7" },
    { ok: false, problem: "no user" },
  ]);
});

test("access leaves topics that begin with $ out of rules that begin with a wildcard, and unfilled names out of rules", () => {
  const acl = [rule("#", "readwrite", "admin"), rule("users/%u/#", "readwrite"), rule("clients/%c", "write")];
  const access = new Access({ anonymous: true, users, acl });
  const admin: ClientIdentity = { user: "admin", clientId: "a/+/b" };
  expect({
    all: access.maySubscribe(admin, "#"),
    devices: access.mayPublish(admin, own),
    mine: access.mayPublish(d1, "users/d1/x"),
    unproven: access.mayPublish(nobody, "users//x"),
    client: access.mayPublish(nobody, "clients/d1"),
    widened: access.mayPublish({ user: undefined, clientId: "+" }, "clients/other"),
  }).toEqual({ all: true, devices: false, mine: true, unproven: false, client: true, widened: false });
});
