import { openStore } from "#edge/store";
import { silentLog } from "#internal/test/support/silent-log.ts";

/** Opens a database as edgecore does at its start; the parent may kill it at any moment. */
openStore(process.argv[2] ?? "", { nowMs: Date.now(), log: silentLog() });
process.stdout.write("open\n");
process.kill(process.pid, "SIGKILL");
