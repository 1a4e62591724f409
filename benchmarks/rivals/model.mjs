// What Mercurius and Apollo have in common: the schema, and the statements behind it, all of them prepared.

import { createHash, randomUUID } from "node:crypto";
import pg from "pg";

// Times as PostgreSQL writes them: to make a Date of each and a text of that again would only cost.
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (text) => text);

export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.POOL_SIZE) });

export const typeDefs = `
  type Query {
    transaction(id: ID!): Transaction
    transactions(userId: ID!, first: Int!): [Transaction!]!
  }
  type Mutation {
    createTransaction(input: CreateTransactionInput!): Transaction!
  }
  input CreateTransactionInput {
    userId: ID!
    idempotencyKey: String!
    amount: Int!
    currency: String!
    paymentMethodId: String!
    description: String
  }
  type Transaction {
    id: ID!
    status: String!
    description: String
    captureMethod: String!
    processor: String!
    processorReference: String
    processorStatus: String
    createdAt: String!
    updatedAt: String!
    amount: String!
    currency: String!
    refunded: String!
    user: User!
    auditLog(first: Int!): [AuditEntry!]!
  }
  type User {
    id: ID!
    name: String!
    email: String!
  }
  type AuditEntry {
    action: String!
    actorKind: String!
    at: String!
  }
`;

const COLUMNS = `id, user_id AS "userId", status, description, capture_method AS "captureMethod", processor,
  processor_reference AS "processorReference", processor_status AS "processorStatus", created_at AS "createdAt",
  updated_at AS "updatedAt", amount, currency, refunded`;

const run = async (client, name, text, values) => (await client.query({ name, text, values })).rows;

export const transaction = async (id) =>
  (await run(pool, "transaction", `SELECT ${COLUMNS} FROM transactions WHERE id = $1`, [id]))[0] ?? null;

export const transactionsOf = (userId, first) =>
  run(
    pool,
    "transactions",
    `SELECT ${COLUMNS} FROM transactions WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2`,
    [userId, first],
  );

export const usersById = async (ids) => {
  const rows = await run(pool, "users", "SELECT id, name, email FROM users WHERE id = ANY($1::uuid[])", [[...new Set(ids)]]);
  const found = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => found.get(id) ?? null);
};

export const auditLogsOf = async (transactionIds, first) => {
  const rows = await run(
    pool,
    "audit",
    `SELECT parent.id AS parent, a.action, a.actor_kind AS "actorKind", a.at FROM unnest($1::uuid[]) AS parent(id)
     CROSS JOIN LATERAL (
       SELECT action, actor_kind, at, number FROM audit_entries WHERE transaction_id = parent.id ORDER BY number LIMIT $2
     ) AS a ORDER BY parent.id, a.number`,
    [transactionIds, first],
  );
  const found = new Map(transactionIds.map((id) => [id, []]));
  for (const row of rows) found.get(row.parent).push(row);
  return transactionIds.map((id) => found.get(id));
};

// The same with the statements of somebody else (benchmarks/florin_statements.py), whose columns have the tables' own names.
export const modelOf = (statements) => {
  const ask = async (name, values) => {
    const { text, parameters } = statements[name];
    return run(pool, `their-${name}`, text, parameters.map((kind) => (typeof kind === "number" ? kind : values[kind])));
  };
  const shown = (row) => ({
    id: row.id,
    userId: row.user_id,
    status: row.status,
    description: row.description,
    captureMethod: row.capture_method,
    processor: row.processor,
    processorReference: row.processor_reference,
    processorStatus: row.processor_status,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    amount: row.amount,
    currency: row.currency,
    refunded: row.refunded,
  });
  return {
    transaction: async (id, user) => {
      const [row] = await ask("one", { users: [user], transactions: [id] });
      return row ? shown(row) : null;
    },
    transactionsOf: async (user) => {
      // One more than the page has is read, which tells whether there are more.
      const rows = await ask("page", { user });
      return rows.slice(0, -1).map(shown);
    },
    usersById: async (ids) => {
      const rows = await ask("users", { users: [...new Set(ids)] });
      const found = new Map(rows.map((row) => [row.id, row]));
      return ids.map((id) => found.get(id) ?? null);
    },
    auditLogsOf: async (transactionIds, first, user) => {
      const found = transactionIds.map(() => []);
      for (const row of await ask("audit", { users: transactionIds.map(() => user), transactions: transactionIds })) {
        const entries = found[row.place - 1];
        if (entries.length < first) entries.push({ action: row.action, actorKind: row.actor_kind, at: row.at });
      }
      return found;
    },
  };
};

export const createTransaction = async (input) => {
  const id = randomUUID();
  const now = new Date();
  const fingerprint = createHash("sha256").update(JSON.stringify(input)).digest();
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await run(
      client,
      "claim",
      `INSERT INTO idempotency_keys (actor_id, act, key, fingerprint, transaction_id, created_at)
       VALUES ($1, 'create_payment', $2, $3, $4, $5)`,
      [input.userId, input.idempotencyKey, fingerprint, id, now],
    );
    const [row] = await run(
      client,
      "add",
      `INSERT INTO transactions (id, user_id, status, amount, currency, captured, refunded, refund_reserved, disputed,
         capture_method, payment_method_id, description, metadata, processor, version, created_at, updated_at)
       VALUES ($1, $2, 'PENDING', $3, $4, 0, 0, 0, 0, 'AUTOMATIC', $5, $6, '{}', 'stripe', 1, $7, $7) RETURNING ${COLUMNS}`,
      [id, input.userId, input.amount, input.currency, input.paymentMethodId, input.description, now],
    );
    await run(
      client,
      "note",
      `INSERT INTO audit_entries (id, transaction_id, action, actor_kind, actor_id, details, at)
       VALUES ($1, $2, 'transaction.created', 'USER', $3, $4, $5)`,
      [randomUUID(), id, input.userId, JSON.stringify({ amount: input.amount, currency: input.currency }), now],
    );
    await client.query("COMMIT");
    return row;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
};
