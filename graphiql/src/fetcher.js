import { Kind, parse } from "graphql";

import { authorizationOf } from "./headers.js";

const INTROSPECTION = "IntrospectionQuery";
const EXCERPT_CHARACTERS = 300;

/**
 * The function with which GraphiQL sends an operation.
 *
 * @param {string} endpoint where operations are sent
 * @param {Object<string, string>} initialHeaders sent with the introspection that runs before the headers editor exists
 * @param {(authorization: string) => void} onUnauthenticated told which Authorization header the API did not accept
 */
export function createFetcher(endpoint, initialHeaders, onUnauthenticated) {
  return async function send(parameters, { headers } = {}) {
    const fallback = parameters.operationName === INTROSPECTION ? initialHeaders : {};
    const sent = new Headers({
      "Content-Type": "application/json",
      Accept: "application/graphql-response+json, application/json;q=0.9",
    });
    for (const [name, value] of Object.entries(headers ?? fallback)) {
      sent.set(name, value);
    }
    const response = await fetch(endpoint, { method: "POST", headers: sent, body: JSON.stringify(withoutFormerName(parameters)) });
    const result = await readJson(response);
    if (result.errors?.some((error) => error.extensions?.code === "UNAUTHENTICATED")) {
      onUnauthenticated(authorizationOf(Object.fromEntries(sent)) ?? "");
    }
    return result;
  };
}

/**
 * GraphiQL reads an operation's name a moment after its tab was chosen or its text was written, and sends the former
 * operation's until then. Without a name, the API runs the only operation that there is.
 */
function withoutFormerName({ operationName, ...rest }) {
  return operationNames(rest.query).includes(operationName) ? { operationName, ...rest } : rest;
}

function operationNames(query) {
  try {
    const { definitions } = parse(query, { noLocation: true });
    return definitions.filter(({ kind }) => kind === Kind.OPERATION_DEFINITION).map(({ name }) => name?.value);
  } catch {
    // What is wrong with it is for the API to say.
    return [];
  }
}

/** A proxy's error page is no JSON: its status and its first words say more than a parser's complaint and stack. */
async function readJson(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    const message = `The server answered ${response.status} ${response.statusText}, and not in JSON.`;
    return { errors: [{ message, extensions: { body: text.slice(0, EXCERPT_CHARACTERS) } }] };
  }
}
