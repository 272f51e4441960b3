import { Database } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { asError, ConfigError } from "#shared/errors";
import { createPrivateFile } from "#shared/files";

/** AUTOINCREMENT: the id of a dropped upload is never given again, or a reader would miss what got it. */
const schema = `
CREATE TABLE IF NOT EXISTS upload (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  node TEXT NOT NULL,
  msg_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  content TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS upload_message ON upload (node, msg_id);
CREATE INDEX IF NOT EXISTS upload_node ON upload (node);
CREATE INDEX IF NOT EXISTS upload_topic ON upload (topic);
CREATE TABLE IF NOT EXISTS trial (content BLOB);
`;

/** Opens the database of uploads so that a commit survives loss of power. @throws ConfigError */
export function openDatabase(path: string): Database {
  let database: Database | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    createPrivateFile(path);
    database = new Database(path, { create: true, strict: true });
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.run("PRAGMA busy_timeout = 2000");
    database.run("PRAGMA journal_size_limit = 16777216");
    database.run(schema);
    return database;
  } catch (error) {
    database?.close();
    const text = `Cannot open database "${path}": ${asError(error).message}`;
    throw new ConfigError("database-unusable", text, { cause: error });
  }
}
