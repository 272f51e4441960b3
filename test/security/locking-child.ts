import { openDataDir } from "#shared/cli";

/** Takes a data directory, says so, and keeps it until its input ends. */
const [, , folder = ""] = process.argv;
try {
  using _directory = openDataDir(folder, "sample", process.pid);
  console.log("held");
  await Bun.stdin.text();
} catch (error) {
  console.log(String(error));
}
