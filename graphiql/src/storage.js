/**
 * What the browser keeps between visits: tabs, edits and history, and never a token.
 *
 * A token in local storage would outlive the page, be readable by whatever else is later served from this origin, and be
 * sent again after the server has replaced it. GraphiQL leaves headers out of the tabs that it stores, but its history
 * keeps them: they are taken out on the way in, and today's headers are put in on the way out.
 */

// Other projects' GraphiQL pages, served from the same host and port at another time, use GraphiQL's own prefix.
const PREFIX = "florin:";
const HISTORY_KEYS = new Set(["graphiql:queries", "graphiql:favorites"]);
const IDENTITY_KEY = `${PREFIX}identity`;

/**
 * The storage that GraphiQL is given, or null where the browser forbids it.
 *
 * @param {() => string} currentHeaders the headers that a stored operation is to be sent with now
 */
export function operationStorage(currentHeaders) {
  const local = localStorageOrNull();
  if (local === null) {
    return null;
  }
  const keys = () => Object.keys(local).filter((key) => key.startsWith(PREFIX));
  return {
    getItem(key) {
      const value = local.getItem(PREFIX + key);
      return HISTORY_KEYS.has(key) ? replaceHeaders(value, currentHeaders()) : value;
    },
    setItem(key, value) {
      local.setItem(PREFIX + key, HISTORY_KEYS.has(key) ? (replaceHeaders(value, undefined) ?? "") : value);
    },
    removeItem(key) {
      local.removeItem(PREFIX + key);
    },
    get length() {
      return keys().length;
    },
    clear() {
      keys().forEach((key) => local.removeItem(key));
    },
  };
}

/** The label of the identity chosen last, which is safe to keep where its token is not. */
export function storedIdentity() {
  return localStorageOrNull()?.getItem(IDENTITY_KEY) ?? null;
}

export function storeIdentity(identity) {
  localStorageOrNull()?.setItem(IDENTITY_KEY, identity);
}

function localStorageOrNull() {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

/** The stored history with these headers in every entry, or null if it is not what GraphiQL writes. */
function replaceHeaders(json, headers) {
  if (json === null) {
    return null;
  }
  try {
    const lists = Object.entries(JSON.parse(json));
    return JSON.stringify(Object.fromEntries(lists.map(([name, list]) => [name, list.map((item) => ({ ...item, headers }))])));
  } catch {
    return null;
  }
}
