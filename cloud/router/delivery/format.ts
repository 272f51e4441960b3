import { version } from "#shared/release";
import type { DatabaseFormat } from "#shared/sqlite";

const steps = [
  `CREATE TABLE IF NOT EXISTS delivery (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     rule TEXT NOT NULL,
     node TEXT NOT NULL,
     origin TEXT NOT NULL,
     message_id TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     attempts INTEGER NOT NULL DEFAULT 0,
     bytes INTEGER NOT NULL,
     request TEXT NOT NULL,
     body BLOB NOT NULL
   );
   CREATE UNIQUE INDEX IF NOT EXISTS delivery_message ON delivery (rule, node, origin, message_id);
   CREATE INDEX IF NOT EXISTS delivery_lane ON delivery (rule, node, id);
   CREATE INDEX IF NOT EXISTS delivery_created ON delivery (created_at);`,
];

export const deliveryFormat: DatabaseFormat = { program: "cloudcore", release: version, steps };
