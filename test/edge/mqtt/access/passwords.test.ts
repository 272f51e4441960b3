import { expect, test } from "bun:test";
import { Passwords, type LoginRefusal } from "#internal/edge/mqtt/access/passwords.ts";

const passwordHash = Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 4 });
const users = ["a", "b"].map((name) => ({ name, passwordHash }));
const wrong = Buffer.from("wrong");
const right = Buffer.from("secret");
const from = (address: string, isGone = (): boolean => false) => ({ address, isGone });

const counts = (refusals: readonly (LoginRefusal | undefined)[]): Record<string, number> =>
  Object.fromEntries(
    Map.groupBy(refusals, (refusal) => refusal?.problem ?? "right")
      .entries()
      .map(([k, v]) => [k, v.length]),
  );

test("passwords let a right one of another address wait for a few wrong ones alone", async () => {
  const passwords = new Passwords(users);
  const done: string[] = [];
  const guesses = Array.from({ length: 600 }, () =>
    passwords.check("a", wrong, from("10.0.0.1")).then((refusal) => {
      if (!refusal?.isBusy) done.push("guess");
      return refusal;
    }),
  );
  await passwords.check("a", right, from("10.0.0.2")).then(() => done.push("right"));
  // Of a hundred and two that are looked at.
  expect(done.indexOf("right")).toBeWithin(0, 20);
  expect(counts(await Promise.all(guesses))).toEqual({
    "wrong password": 102,
    "too many passwords of its address wait": 498,
  });
});

test("passwords of who has left are not looked at, and keep nobody's place", async () => {
  const passwords = new Passwords(users);
  let left = false;
  const guesses = Array.from({ length: 22 }, () =>
    passwords.check(
      "a",
      wrong,
      from("10.0.0.1", () => left),
    ),
  );
  left = true;
  const late = await passwords.check("a", right, from("10.0.0.1"));
  expect(late).toBeUndefined();
  expect(counts(await Promise.all(guesses))).toEqual({
    "wrong password": 2,
    "left before its password was looked at": 20,
  });
});

test("passwords are right for many who show the same at once, and wrong ones stay wrong after them", async () => {
  const passwords = new Passwords(users);
  const all = Array.from({ length: 20 }, (_, n) =>
    passwords.check(n % 2 ? "a" : "b", right, from("10.0.0.1")),
  );
  expect(counts(await Promise.all(all))).toEqual({ right: 20 });
  expect(await passwords.check("b", wrong, from("10.0.0.1"))).toEqual({ problem: "wrong password" });
});
