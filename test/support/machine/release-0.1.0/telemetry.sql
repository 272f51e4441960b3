BEGIN TRANSACTION;
CREATE TABLE trial (content BLOB);
CREATE TABLE upload (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  node TEXT NOT NULL,
  msg_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  content TEXT NOT NULL
);
INSERT INTO "upload" VALUES(1,'@node@','ce15ed4a-ba4e-423b-b9a1-05cd433752e1','SYS/dis/upload_records',1795997005226,1795997005332,76,'record-online');
CREATE UNIQUE INDEX upload_message ON upload (node, msg_id);
CREATE INDEX upload_node ON upload (node);
CREATE INDEX upload_topic ON upload (topic);
INSERT INTO "sqlite_sequence" VALUES('upload',1);
COMMIT;
PRAGMA user_version=0;
