import { createRoot } from "react-dom/client";

import "./workers.js";
// Imported here as well as by GraphiQL, which imports it on demand: only what the entry point imports outright has its style
// sheet gathered into the one that the page links.
import "monaco-graphql/esm/monaco-editor.js";

import "@graphiql/react/style.css";
import "graphiql/graphiql.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./fonts.css";
import "./page.css";

import { Page } from "./page.jsx";
import { pageConfig } from "./config.js";

createRoot(document.getElementById("graphiql")).render(<Page config={pageConfig()} />);
