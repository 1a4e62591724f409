import { useEffect, useState } from "react";
import { createPortal } from "react-dom";
import { DropdownMenu, pick, useGraphiQL, useGraphiQLActions, useHeadersEditorState } from "@graphiql/react";

import { tabOf } from "./examples.js";
import {
  ANONYMOUS,
  CUSTOM,
  authorizationFor,
  formatHeaders,
  identityOf,
  parseHeaders,
  withAuthorization,
} from "./headers.js";
import { storeIdentity } from "./storage.js";

/** The bar above GraphiQL. It is drawn from inside GraphiQL, whose editors it reads and writes, into the page's header. */
export function Toolbar({ config, initialIdentity, tokenRefused }) {
  useActiveTabInView();
  const bar = (
    <>
      <h1>Florin</h1>
      {config.examples.length > 0 && <Examples examples={config.examples} />}
      {config.tokens.length > 0 && <Identity tokens={config.tokens} initial={initialIdentity} />}
      <p role="status">{tokenRefused && <StaleTokens />}</p>
    </>
  );
  return createPortal(bar, document.getElementById("toolbar"));
}

/** GraphiQL's row of tabs scrolls, and leaves a tab that was opened beyond its end out of sight. */
function useActiveTabInView() {
  const activeTabIndex = useGraphiQL((state) => state.activeTabIndex);
  useEffect(() => {
    const tab = document.getElementById(`graphiql-session-tab-${activeTabIndex}`);
    tab?.parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [activeTabIndex]);
}

function Examples({ examples }) {
  const { addTab } = useGraphiQLActions();
  const { queryEditor, variableEditor } = useGraphiQL(pick("queryEditor", "variableEditor"));
  const open = (example) => {
    const tab = tabOf(example);
    addTab();
    queryEditor.setValue(tab.query);
    variableEditor.setValue(tab.variables);
  };
  return (
    <DropdownMenu>
      <DropdownMenu.Button type="button" className="toolbar-control" disabled={!queryEditor || !variableEditor}>
        Examples <span aria-hidden="true">▾</span>
      </DropdownMenu.Button>
      <DropdownMenu.Content className="toolbar-menu">
        {examples.map((example) => (
          <DropdownMenu.Item key={example.name} onSelect={() => open(example)}>
            {example.name}
          </DropdownMenu.Item>
        ))}
      </DropdownMenu.Content>
    </DropdownMenu>
  );
}

/** Who the operations are sent as. The headers editor is the truth: what is written there by hand shows here too. */
function Identity({ tokens, initial }) {
  const [text, setText] = useHeadersEditorState();
  const { activeTabIndex, headerEditor } = useGraphiQL(pick("activeTabIndex", "headerEditor"));
  const [chosen, setChosen] = useState(initial);
  const headers = parseHeaders(text);
  const shown = headers === undefined ? CUSTOM : identityOf(headers, tokens);

  const write = (identity, present) => {
    setText(formatHeaders(withAuthorization(present, authorizationFor(identity, tokens))));
  };

  // Each tab has headers of its own. One that is opened after the identity was changed still holds the former identity's
  // token: it is brought up to date, unless its Authorization was written by hand.
  useEffect(() => {
    const present = parseHeaders(headerEditor?.getValue());
    const found = present && identityOf(present, tokens);
    if (headerEditor && found !== undefined && found !== CUSTOM && found !== chosen && chosen !== CUSTOM) {
      write(chosen, present);
    }
  }, [activeTabIndex, headerEditor]);

  const choose = (event) => {
    const identity = event.target.value;
    setChosen(identity);
    storeIdentity(identity);
    write(identity, headers ?? {});
  };
  return (
    <label>
      Send as{" "}
      <select className="toolbar-control" value={shown} onChange={choose} disabled={!headerEditor}>
        {tokens.map(({ label }) => (
          <option key={label} value={label}>
            {label}
          </option>
        ))}
        <option value={ANONYMOUS}>nobody</option>
        {shown === CUSTOM && (
          <option value={CUSTOM} disabled>
            as written in Headers
          </option>
        )}
      </select>
    </label>
  );
}

function StaleTokens() {
  return (
    <>
      The server no longer accepts this page’s token.{" "}
      <button type="button" className="toolbar-control" onClick={() => window.location.reload()}>
        Reload for a new one
      </button>
    </>
  );
}
