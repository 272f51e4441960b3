import { openDataDir } from "#shared/cli";

/** Locks a data directory, prints it, and keeps it until its input ends. */
const [, , folder = ""] = process.argv;
try {
  using _directory = openDataDir(folder, "sample", process.pid);
  console.log("held");
  await Bun.stdin.text();
} catch (error) {
  console.log(String(error));
}
