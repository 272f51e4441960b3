import { migrateDatabase, openDatabase } from "#shared/sqlite";

/** Migrates a database with the given steps, in a process of its own that can be killed. */
const [path = "", ...steps] = process.argv.slice(2);

openDatabase(path, {
  busyTimeoutMs: 1000,
  journalLimitBytes: 1024 * 1024,
  pragmas: { cache_size: 10, cache_spill: 1 },
  setUp: (database) => migrateDatabase(database, { program: "testcore", release: "1.2.3", steps }),
}).close();
