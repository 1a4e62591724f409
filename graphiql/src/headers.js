/** The request headers as the headers editor holds them, and who they say is asking. */

import { tryParseJSONC } from "@graphiql/react";

/** Nobody: no Authorization header is sent. */
export const ANONYMOUS = "anonymous";
/** An Authorization header that the user wrote, and that this page knows no name for. */
export const CUSTOM = "custom";

const AUTHORIZATION = "authorization";

export function bearer(token) {
  return `Bearer ${token}`;
}

/** The Authorization header among `headers`, or undefined. */
export function authorizationOf(headers) {
  const name = Object.keys(headers).find((key) => key.toLowerCase() === AUTHORIZATION);
  return name === undefined ? undefined : headers[name];
}

/** `headers` with this Authorization, or without any when it is undefined. */
export function withAuthorization(headers, authorization) {
  const others = Object.entries(headers).filter(([name]) => name.toLowerCase() !== AUTHORIZATION);
  return Object.fromEntries(authorization === undefined ? others : [["Authorization", authorization], ...others]);
}

/** The editor's text as headers, or undefined while it is no JSON object. */
export function parseHeaders(text) {
  try {
    return tryParseJSONC(text) ?? {};
  } catch {
    return undefined;
  }
}

export function formatHeaders(headers) {
  return Object.keys(headers).length === 0 ? "" : JSON.stringify(headers, null, 2);
}

/** The label of the token that `headers` carry, or ANONYMOUS, or CUSTOM. */
export function identityOf(headers, tokens) {
  const authorization = authorizationOf(headers);
  if (authorization === undefined) {
    return ANONYMOUS;
  }
  return tokens.find(({ token }) => bearer(token) === authorization)?.label ?? CUSTOM;
}

/** The Authorization header of an identity, or undefined for ANONYMOUS. */
export function authorizationFor(identity, tokens) {
  const named = tokens.find(({ label }) => label === identity);
  return named === undefined ? undefined : bearer(named.token);
}
