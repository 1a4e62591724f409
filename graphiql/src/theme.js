import { useEffect } from "react";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";

/** Keeps the editors' colours with the system's when those change. GraphiQL's style sheet follows by itself; Monaco does not. */
export function SystemTheme() {
  const theme = useGraphiQL((state) => state.theme);
  const { setTheme } = useGraphiQLActions();
  useEffect(() => {
    if (theme !== null) {
      return undefined;
    }
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(null);
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, [theme, setTheme]);
  return null;
}
