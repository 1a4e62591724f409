// Apollo Server with DataLoader, as its documentation shows them.

import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import DataLoader from "dataloader";
import { auditLogsOf, createTransaction, transaction, transactionsOf, typeDefs, usersById } from "./model.mjs";

const server = new ApolloServer({
  typeDefs,
  resolvers: {
    Query: {
      transaction: (_, { id }) => transaction(id),
      transactions: (_, { userId, first }) => transactionsOf(userId, first),
    },
    Mutation: { createTransaction: (_, { input }) => createTransaction(input) },
    Transaction: {
      user: ({ userId }, _, { users }) => users.load(userId),
      auditLog: ({ id }, { first }, { auditLogs }) => auditLogs(first).load(id),
    },
  },
});

const context = async () => {
  const byFirst = new Map();
  return {
    users: new DataLoader(usersById),
    auditLogs: (first) => {
      if (!byFirst.has(first)) byFirst.set(first, new DataLoader((ids) => auditLogsOf(ids, first)));
      return byFirst.get(first);
    },
  };
};

await startStandaloneServer(server, { context, listen: { host: "127.0.0.1", port: Number(process.env.PORT) } });
