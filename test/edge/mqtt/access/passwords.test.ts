import { expect, test } from "bun:test";
import { Passwords, type LoginRefusal } from "#internal/edge/mqtt/access/passwords.ts";

const passwordHash = Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 4 });
const users = ["a", "b"].map((name) => ({ name, passwordHash }));
const wrong = Buffer.from("wrong");
const right = Buffer.from("secret");
const attemptFrom = (address: string, isClosed = (): boolean => false) => ({ address, isClosed });

const counts = (refusals: readonly (LoginRefusal | undefined)[]): Record<string, number> =>
  Object.fromEntries(
    Map.groupBy(refusals, (refusal) => refusal?.problem ?? "right")
      .entries()
      .map(([k, v]) => [k, v.length]),
  );

test("a right password of another address waits only for a few wrong ones", async () => {
  const passwords = new Passwords(users);
  const done: string[] = [];
  const guesses = Array.from({ length: 600 }, () =>
    passwords.check("a", wrong, attemptFrom("10.0.0.1")).then((refusal) => {
      if (!refusal?.isBusy) done.push("guess");
      return refusal;
    }),
  );
  await passwords.check("a", right, attemptFrom("10.0.0.2")).then(() => done.push("right"));
  // Of the 102 that are checked.
  expect(done.indexOf("right")).toBeWithin(0, 20);
  expect(counts(await Promise.all(guesses))).toEqual({
    "wrong password": 102,
    "too many clients of its address wait for a password check": 498,
  });
});

test("passwords of disconnected clients are not checked and take no place", async () => {
  const passwords = new Passwords(users);
  let isClosed = false;
  const guesses = Array.from({ length: 22 }, () =>
    passwords.check(
      "a",
      wrong,
      attemptFrom("10.0.0.1", () => isClosed),
    ),
  );
  isClosed = true;
  const late = await passwords.check("a", right, attemptFrom("10.0.0.1"));
  expect(late).toBeUndefined();
  expect(counts(await Promise.all(guesses))).toEqual({
    "wrong password": 2,
    "disconnected before its password was checked": 20,
  });
});

test("a right password is right for many clients at once, and a wrong one stays wrong after them", async () => {
  const passwords = new Passwords(users);
  const all = Array.from({ length: 20 }, (_, n) =>
    passwords.check(n % 2 ? "a" : "b", right, attemptFrom("10.0.0.1")),
  );
  expect(counts(await Promise.all(all))).toEqual({ right: 20 });
  expect(await passwords.check("b", wrong, attemptFrom("10.0.0.1"))).toEqual({ problem: "wrong password" });
});
