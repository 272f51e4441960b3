import { expect, test } from "bun:test";
import { join } from "node:path";
import { needs } from "#internal/test/support/needs.ts";
import { tempDir } from "#internal/test/support/temp-dir.ts";

/** Lets files be put beside the programs of the host, for this namespace alone. */
const layer = `
set -e
sbin=$(readlink -f /sbin)
mount -t tmpfs none "$1/layer"
mkdir "$1/layer/upper" "$1/layer/work"
mount -t overlay none -o "lowerdir=$sbin,upperdir=$1/layer/upper,workdir=$1/layer/work" "$sbin"
`;

function inNamespace(dir: string, script: string, ...more: string[]): Bun.SyncSubprocess {
  return Bun.spawnSync(
    ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", dir, ...more],
    { timeout: 50_000, killSignal: "SIGKILL" },
  );
}

function canLayer(): boolean {
  using dir = tempDir();
  return inNamespace(dir.path, `mkdir "$1/layer"; ${layer}`).exitCode === 0;
}

test.skipIf(!needs({ "root, mount namespaces and overlay file systems": canLayer() }))(
  "NFS volumes are mounted by mount.nfs and unmounted with their pod, and a server that hangs holds up no other pod",
  () => {
    using dir = tempDir();
    const script = `mkdir "$1/layer"; ${layer} exec "$2" "$3" "$1" "$sbin/mount.nfs"`;
    const world = join(import.meta.dir, "nfs-world.ts");
    const { stdout, stderr, exitCode } = inNamespace(dir.path, script, process.execPath, world);
    expect([stderr?.toString(), exitCode]).toEqual(["", 0]);
    expect(JSON.parse(stdout?.toString() ?? "")).toEqual({
      text: "from the server",
      mounted: [true, true],
      left: [],
      kept: "from the server",
      calls: [
        "plain:/srv /edged/pods/uid-plain/volumes/data -o rw",
        "[2001:db8::1]:/srv /edged/pods/uid-claimed/volumes/data -o ro,nfsvers=4.1,soft",
      ],
      late: "AppError: mount of hangs:/late failed: no answer within 60 s",
      events: [
        'MountVolume.SetUp failed for volume "data" : mount.nfs is not installed on this node; on Debian and Ubuntu: "apt-get install nfs-common"',
      ],
      errors: [],
    });
  },
);
