import { AppError } from "#shared/errors";
import { releasePoint, runTool } from "#edge/edged/volumes/mounts";
import { newPoint } from "./point.ts";
import { subPathParts, type Pin, type SubPathOptions } from "./sub-path.ts";

/** For a server that is asked for a few names. */
const answerMs = 10_000;

/**
 * The same as `walk` of sub-path.ts, in a shell of the host, because any look into the volume may wait for its server: one directory
 * after another is entered, and where the kernel says that leads is compared with where the volume is. What was entered or opened is
 * mounted by its handle. Arguments: the volume, the new mount point, and the parts of the path.
 */
const script = `set -eu
cd -P -- "$1"
top=$(pwd -P)
mode=$(stat -c %a .)
point=$2
shift 2
stay() { case $1 in "$top" | "$top"/*) ;; *) echo "it leaves the volume" >&2; exit 1 ;; esac; }
hold() {
  mount --no-canonicalize -o bind "$1" "$point" 2>/dev/null || mount -o bind "$1" "$point"
  [ "$(stat -L -c %d:%i "$1")" = "$(stat -c %d:%i "$point")" ] || { echo "something else was mounted" >&2; exit 1; }
}
while [ $# -gt 0 ]; do
  if [ $# = 1 ] && [ -e "./$1" ] && [ ! -d "./$1" ]; then
    exec 3<"./$1"
    stay "$(readlink "/proc/$$/fd/3")"
    : >"$point"
    hold "/proc/$$/fd/3"
    exit 0
  fi
  [ -e "./$1" ] || [ -L "./$1" ] || mkdir -m "$mode" -- "./$1"
  cd -P -- "./$1"
  stay "$(pwd -P)"
  shift
done
mkdir -m 700 -- "$point"
hold "/proc/$$/cwd"
`;

/** A subPath of a volume of a file server. @throws AppError, also when the server does not answer in time */
export async function pinServedSubPath(
  options: SubPathOptions & { readonly signal?: AbortSignal },
): Promise<Pin> {
  const { root, subPath, pinsDir, clock, signal } = options;
  const path = newPoint(pinsDir);
  const command = ["sh", "-c", script, "sh", root, path, ...subPathParts(subPath)];
  const release = (): Promise<void> => releasePoint(path, clock);
  try {
    const failure = await runTool(command, { clock, signal, limitMs: answerMs });
    if (failure !== undefined) throw new AppError("sub-path", failure);
  } catch (error) {
    await release();
    throw error;
  }
  return { path, [Symbol.asyncDispose]: release };
}
