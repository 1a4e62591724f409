/* global WORKER_FILES -- written in by build.mjs, since the workers' names hold a hash of their content. */

const WORKER_OF_LANGUAGE = { graphql: "graphql", json: "json" };

globalThis.MonacoEnvironment = {
  getWorker(_moduleId, language) {
    const file = WORKER_FILES[WORKER_OF_LANGUAGE[language] ?? "editor"];
    return new Worker(new URL(file, import.meta.url));
  },
};
