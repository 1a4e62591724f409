/** The operations that the page offers, and the tabs made of them. */

// An idempotency key belongs to one act. Were it the same in every tab and every browser, the first payment anybody makes
// would be answered by a replay of somebody's earlier one.
const FRESH_KEY = "<fresh idempotency key>";

/** An example as GraphiQL's tabs want it, with an idempotency key of its own wherever one is asked for. */
export function tabOf(example) {
  return {
    query: example.query,
    variables: Object.keys(example.variables).length === 0 ? "" : JSON.stringify(withFreshKeys(example.variables), null, 2),
  };
}

function withFreshKeys(variables) {
  return JSON.parse(JSON.stringify(variables), (_key, value) => (value === FRESH_KEY ? freshKey() : value));
}

/** 128 random bits. `crypto.randomUUID` is not there on a page served by plain HTTP from another host; this is. */
function freshKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
