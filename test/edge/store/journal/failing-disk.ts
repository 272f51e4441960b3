import { openStore } from "#edge/store";

/** Appends values and puts them on disk: at first no file may be larger than the limit, then any may. Prints how that went. */
const [path = "", values = "", limit = ""] = process.argv.slice(2);

function limitFiles(bytes: string): void {
  const { exitCode, stderr } = Bun.spawnSync(["prlimit", `--pid=${process.pid}`, `--fsize=${bytes}:`]);
  if (exitCode !== 0) throw new Error(stderr.toString());
}

const outcomeOf = (work: Promise<void>): Promise<string> =>
  work.then(
    () => "written",
    () => "failed",
  );

const store = openStore(path);
store.values.append(
  Array.from({ length: Number(values) }, (_, n) => ({
    deviceId: "d",
    uid: "",
    name: "n",
    type: "string",
    // Nothing that could be compressed to less than a half.
    value: new Bun.CryptoHasher("sha1").update(`${n}`).digest("hex").slice(0, 24),
    atMs: 0,
    version: n + 1,
  })),
);
limitFiles(limit);
const limited = await outcomeOf(store.values.sync());
limitFiles("unlimited");
console.log(JSON.stringify([limited, await outcomeOf(store.values.sync())]));
process.kill(process.pid, "SIGKILL");
