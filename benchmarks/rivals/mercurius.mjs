// Mercurius with JIT and loaders, as its documentation shows them.

import Fastify from "fastify";
import mercurius from "mercurius";
import * as model from "./model.mjs";

const { STATEMENTS } = process.env;
const { auditLogsOf, transaction, transactionsOf, usersById } = STATEMENTS ? model.modelOf(JSON.parse(STATEMENTS)) : model;

const app = Fastify();

app.register(mercurius, {
  schema: model.typeDefs,
  jit: 1,
  graphiql: false,
  // Whose transactions are read is told only where the statements ask for it.
  ...(STATEMENTS ? { context: (request) => ({ user: request.headers["x-user"] }) } : {}),
  resolvers: {
    Query: {
      transaction: (_, { id }, { user }) => transaction(id, user),
      transactions: (_, { userId, first }) => transactionsOf(userId, first),
    },
    Mutation: { createTransaction: (_, { input }) => model.createTransaction(input) },
  },
  loaders: {
    Transaction: {
      // A request asks for each of them once, so that a cache would only cost.
      user: { loader: (queries) => usersById(queries.map(({ obj }) => obj.userId)), opts: { cache: false } },
      auditLog: {
        loader: (queries) =>
          auditLogsOf(queries.map(({ obj }) => obj.id), queries[0].params.first, queries[0].obj.userId),
        opts: { cache: false },
      },
    },
  },
});
app.get("/ready", async () => "ready");

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
