import { readFileSync, statSync } from "node:fs";
import { fail, ok, warn, type Finding } from "#shared/cli";
import type { EdgeConfig } from "#shared/config";
import { describeError } from "#shared/errors";
import { isRecord, tryJson } from "#shared/json";

/** Files and directories of `edge.yaml` that are about images. */
export function* checkImages({ edged: { images } }: EdgeConfig): Generator<Finding> {
  const { archiveDir, pulls } = images;
  if (archiveDir !== undefined) yield checkArchiveDir(archiveDir);
  if (pulls.authFile !== undefined) yield checkAuthFile(pulls.authFile);
}

function checkArchiveDir(path: string): Finding {
  const subject = "edged.image-dir";
  const remedy = "make the directory, or name another";
  try {
    return statSync(path).isDirectory()
      ? ok(subject, path)
      : fail(subject, `${path} is no directory`, remedy);
  } catch (error) {
    return fail(subject, `${path}: ${describeError(error)}`, remedy);
  }
}

/** Its content is not shown: it has passwords. */
function checkAuthFile(path: string): Finding {
  const subject = "edged.registry-auth-file";
  const remedy = "name a docker config, such as `docker login` writes to ~/.docker/config.json";
  try {
    if (!isRecord(tryJson(readFileSync(path, "utf8"))))
      return fail(subject, `${path} is no docker config`, remedy);
    if ((statSync(path).mode & 0o077) !== 0)
      return warn(subject, `${path} can be read by other users`, `chmod 600 ${path}`);
    return ok(subject, path);
  } catch (error) {
    return fail(subject, `${path}: ${describeError(error)}`, remedy);
  }
}
