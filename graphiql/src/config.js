/**
 * What the server says about this page, from a data block in the page itself.
 *
 * A data block, because the content security policy admits no inline script.
 *
 * @typedef {{label: string, token: string}} NamedToken
 * @typedef {{name: string, query: string, variables: object}} Example
 * @typedef {{endpoint: string, defaultHeaders: Object<string, string>, tokens: NamedToken[], examples: Example[]}} PageConfig
 * @returns {PageConfig}
 */
export function pageConfig() {
  return JSON.parse(document.getElementById("graphiql-config").textContent);
}
