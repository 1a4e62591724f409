import { useState } from "react";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { explorerPlugin } from "@graphiql/plugin-explorer";

import { tabOf } from "./examples.js";
import { createFetcher } from "./fetcher.js";
import { ANONYMOUS, authorizationFor, bearer, formatHeaders, identityOf, withAuthorization } from "./headers.js";
import { operationStorage, storedIdentity } from "./storage.js";
import { SystemTheme } from "./theme.js";
import { Toolbar } from "./toolbar.jsx";

// GraphiQL compares plugins by identity and resets the open panel when they change, so they are made once.
const PLUGINS = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];

export function Page({ config }) {
  const [refusedAuthorization, setRefusedAuthorization] = useState(null);
  const [fixed] = useState(() => graphiqlProps(config, setRefusedAuthorization));
  const tokenRefused = config.tokens.some(({ token }) => bearer(token) === refusedAuthorization);
  return (
    <GraphiQL {...fixed.props}>
      <GraphiQL.Logo>GraphiQL</GraphiQL.Logo>
      <SystemTheme />
      <Toolbar config={config} initialIdentity={fixed.identity} tokenRefused={tokenRefused} />
    </GraphiQL>
  );
}

function graphiqlProps(config, onUnauthenticated) {
  const identity = firstIdentity(config);
  const headers = headersOf(identity, config);
  const storage = operationStorage(() => formatHeaders(headers));
  const tabs = config.examples.map(tabOf);
  const firstVisit = storage === null || storage.getItem("graphiql:tabState") === null;
  return {
    identity,
    props: {
      fetcher: createFetcher(config.endpoint, headers, onUnauthenticated),
      storage,
      plugins: PLUGINS,
      defaultHeaders: formatHeaders(headers),
      shouldPersistHeaders: false,
      defaultEditorToolsVisibility: "variables",
      ...(tabs.length > 0 && { defaultTabs: tabs }),
      // GraphiQL fills the editors of the first tab from these and not from `defaultTabs`. On a later visit they would
      // shut out what was edited.
      ...(tabs.length > 0 && firstVisit && { initialQuery: tabs[0].query, initialVariables: tabs[0].variables }),
    },
  };
}

/** Whoever was chosen last, if the server still knows them, and else whoever the server's default headers speak for. */
function firstIdentity({ tokens, defaultHeaders }) {
  const stored = storedIdentity();
  const stillKnown = tokens.length > 0 && (stored === ANONYMOUS || tokens.some(({ label }) => label === stored));
  return stillKnown ? stored : identityOf(defaultHeaders, tokens);
}

function headersOf(identity, { tokens, defaultHeaders }) {
  return identity === identityOf(defaultHeaders, tokens)
    ? defaultHeaders
    : withAuthorization(defaultHeaders, authorizationFor(identity, tokens));
}
