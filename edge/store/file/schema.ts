/**
 * DDL by schema version: the n-th entry brings a database from version n to n+1. Entries are never changed once
 * released. Table and column names of `meta`, `device`, `device_attr` and `device_twin` are KubeEdge's.
 */
export const migrations: readonly string[] = [
  `CREATE TABLE meta (
     key TEXT PRIMARY KEY,
     type TEXT NOT NULL,
     value TEXT
   ) WITHOUT ROWID;
   CREATE INDEX meta_type ON meta (type);
   CREATE TABLE outbox (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     lane TEXT NOT NULL,
     key TEXT,
     message TEXT NOT NULL,
     bytes INTEGER NOT NULL
   );
   CREATE UNIQUE INDEX outbox_key ON outbox (lane, key) WHERE key IS NOT NULL;`,
  `CREATE TABLE device (
     id TEXT PRIMARY KEY,
     name TEXT,
     description TEXT,
     state TEXT,
     last_online TEXT
   ) WITHOUT ROWID;
   CREATE TABLE device_attr (
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     description TEXT,
     value TEXT,
     optional INTEGER NOT NULL DEFAULT 1,
     attr_type TEXT,
     metadata TEXT,
     PRIMARY KEY (deviceid, name)
   ) WITHOUT ROWID;
   CREATE TABLE device_twin (
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     description TEXT,
     expected TEXT,
     actual TEXT,
     expected_meta TEXT,
     actual_meta TEXT,
     expected_version TEXT,
     actual_version TEXT,
     optional INTEGER NOT NULL DEFAULT 1,
     attr_type TEXT,
     metadata TEXT,
     desired TEXT,
     PRIMARY KEY (deviceid, name)
   ) WITHOUT ROWID;
   CREATE TABLE device_history (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     at INTEGER NOT NULL,
     value TEXT NOT NULL
   );
   CREATE INDEX device_history_name ON device_history (deviceid, name, id);
   CREATE TABLE mqtt_retained (
     topic TEXT PRIMARY KEY,
     qos INTEGER NOT NULL,
     payload BLOB NOT NULL
   ) WITHOUT ROWID;
   CREATE TABLE mqtt_subscription (
     client TEXT NOT NULL,
     topic TEXT NOT NULL,
     qos INTEGER NOT NULL,
     PRIMARY KEY (client, topic)
   ) WITHOUT ROWID;
   CREATE TABLE mqtt_packet (
     id INTEGER PRIMARY KEY,
     client TEXT NOT NULL,
     kind TEXT NOT NULL,
     message_id INTEGER,
     cmd TEXT NOT NULL,
     topic TEXT,
     qos INTEGER NOT NULL,
     retain INTEGER NOT NULL,
     payload BLOB
   );`,
  `CREATE TABLE mqtt_outgoing (
     id INTEGER PRIMARY KEY,
     topic TEXT NOT NULL,
     payload BLOB NOT NULL,
     retain INTEGER NOT NULL
   );`,
  // The index answers how much waits, and what of a lane, without reading the messages.
  `CREATE INDEX outbox_lane ON outbox (lane, id, bytes, key);
   CREATE TABLE outbox_loss (
     kind TEXT PRIMARY KEY,
     messages INTEGER NOT NULL,
     since INTEGER NOT NULL,
     last INTEGER NOT NULL
   ) WITHOUT ROWID;`,
  // The user whose will it is: whether it may be published is checked again when it is.
  `ALTER TABLE mqtt_packet ADD COLUMN user TEXT;`,
  // A name for this very database: by another name the cloud recognizes that a node has lost its database.
  `CREATE TABLE identity (name TEXT NOT NULL);
   INSERT INTO identity VALUES (lower(hex(randomblob(16))));`,
  // The database of the cloud this node belongs to, and another one it has met: changes of that one are rejected until it is adopted.
  `CREATE TABLE cloud (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     name TEXT NOT NULL,
     other TEXT,
     held_since INTEGER
   );`,
  // MQTT 5: properties and expiry of messages, options of subscriptions, sessions that end, and the time they are counted in.
  `ALTER TABLE mqtt_packet ADD COLUMN properties BLOB;
   ALTER TABLE mqtt_packet ADD COLUMN expires INTEGER;
   ALTER TABLE mqtt_packet ADD COLUMN delay INTEGER;
   ALTER TABLE mqtt_packet ADD COLUMN due INTEGER;
   ALTER TABLE mqtt_retained ADD COLUMN properties BLOB;
   ALTER TABLE mqtt_retained ADD COLUMN expires INTEGER;
   ALTER TABLE mqtt_subscription ADD COLUMN options INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE mqtt_subscription ADD COLUMN identifier INTEGER;
   CREATE TABLE mqtt_session (
     client TEXT PRIMARY KEY,
     expiry INTEGER NOT NULL,
     ends_at INTEGER
   ) WITHOUT ROWID;
   CREATE TABLE mqtt_clock (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     at INTEGER NOT NULL,
     wall INTEGER NOT NULL,
     boot TEXT NOT NULL,
     boot_ms INTEGER NOT NULL
   );`,
  // History in blocks: a row and an index entry for each value cost ten times its bytes. `base` is what times in `data` count from.
  `CREATE TABLE device_history_block (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     deviceid TEXT NOT NULL,
     name TEXT NOT NULL,
     base INTEGER NOT NULL,
     since INTEGER NOT NULL,
     until INTEGER NOT NULL,
     points INTEGER NOT NULL,
     data TEXT NOT NULL
   );
   INSERT INTO device_history_block (deviceid, name, base, since, until, points, data)
     SELECT deviceid, name, 0, MIN(at), MAX(at), COUNT(*), json_group_array(json_array(at, value))
     FROM (SELECT id, deviceid, name, at, value,
             (ROW_NUMBER() OVER (PARTITION BY deviceid, name ORDER BY id) - 1) / 128 AS block
           FROM device_history ORDER BY id)
     GROUP BY deviceid, name, block ORDER BY MIN(id);
   DROP TABLE device_history;
   CREATE INDEX device_history_block_name ON device_history_block (deviceid, name, id);
   CREATE TABLE device_journal (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     salt INTEGER NOT NULL,
     generation INTEGER NOT NULL
   );`,
];
