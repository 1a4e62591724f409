// Runs every audit of graphql-http against the address in the first argument, and prints what came of each as JSON.
import { serverAudits } from "graphql-http";

const [url] = process.argv.slice(2);
// Production answers a GET only with a header that no page of another site can send unasked.
const ask = (address, init) =>
  fetch(address, { ...init, headers: { ...init?.headers, "GraphQL-Require-Preflight": "1" } });
const results = [];
for (const audit of serverAudits({ url, fetchFn: ask })) {
  const result = await audit.fn();
  results.push({ id: result.id, name: result.name, status: result.status, reason: result.reason ?? null });
}
console.log(JSON.stringify(results));
